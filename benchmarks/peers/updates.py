"""Our updates beside deep-river and river: the same stream of corrections, in turn, one thread each.

A champion of upright digits is corrected 3,200 times on digits turned by 45 degrees. Ours learns them through the HTTP
API by the defaults, and all of it counts: the answers that are corrected, the feedback on the disk, the updates with
their replay of what was known, and the gate. Of the others what counts is learning alone, in their own process. What is
measured by processor time holds on busy cores too.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]  # it ships no types

from benchmarks.learning import rotation
from benchmarks.learning.loop import Examples, Loop
from benchmarks.peers.environments import NotInstalledError, Peer
from benchmarks.peers.learners.stream import Stream
from benchmarks.timing import Row
from lmaas import LMaaS
from lmaas.testing import MockServer

__all__ = ["measure"]

RIVER = Peer("river")
TARGET = 10.0
"""Times the rows a second of deep-river."""
OURS = {"in 10 updates": rotation.BATCH, "in one update": rotation.CORRECTIONS}
"""Corrections that an update is given."""
THEIRS = {
    "deep-river, row by row": ("deep_river", "1"),
    "deep-river, 32 rows together": ("deep_river", "32"),
    "river, softmax regression": ("river", "softmax"),
    "river, adaptive random forest": ("river", "forest"),
}
"""The module of each learner and what it is told."""
SEED = 0
_numbers = count()


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of the stream: corrections learned a second, and the shares of turned and upright digits right."""

    rate: float
    worked: float
    """Corrections a second of processor time, of all processes that learn."""
    turned: float
    upright: float
    upright_before: float


def measure(rounds: int) -> tuple[str, list[Row]]:
    """Return rows per second and accuracies of each: medians of what was measured in turn."""
    drawn = rotation.stream(SEED)
    with tempfile.TemporaryDirectory() as directory, MockServer() as server, server.client() as client:
        path = Path(directory) / "stream.npz"
        _stream(drawn).write(path)
        champion = rotation.champion_of(client, SEED)
        ways: dict[str, Callable[[], Learned]] = {
            f"ours, {name}": partial(ours, client, champion, drawn, size) for name, size in OURS.items()
        }
        rows = []
        try:
            ways |= {name: learner(RIVER.python(), *told, path) for name, told in THEIRS.items()}
        except NotInstalledError as exc:
            rows.append(Row(RIVER.versions, f"not measured: {exc}", ""))
        found = [{name: _told(name, way()) for name, way in ways.items()} for _ in range(rounds)]
    rows = [_row(name, [one[name] for one in found]) for name in ways] + rows
    rows += [_share(name, found) for name in ways if name.startswith("deep-river")]
    return f"Learning {rotation.CORRECTIONS:,} corrections beside others (one thread, {rounds} rounds)", rows


def ours(client: LMaaS, champion: str, drawn: rotation.Stream, size: int) -> Learned:
    """Learn from the stream through the API, so many corrections to an update."""
    loop = Loop(client, champion, name=f"updates-{next(_numbers)}", seed=SEED)
    before = loop.accuracy(drawn.original_test)
    began = time.perf_counter(), _worked()
    for batch in drawn.turned.batches(size):
        loop.correct(batch)
        loop.update()
    seconds, worked = time.perf_counter() - began[0], _worked() - began[1]
    return Learned(
        rate=len(drawn.turned) / seconds,
        worked=len(drawn.turned) / worked,
        turned=loop.accuracy(drawn.turned_test),
        upright=loop.accuracy(drawn.original_test),
        upright_before=before,
    )


def _worked() -> float:
    """Return the processor seconds of this process, which is client and server, and of all jobs that have ended."""
    servers = [child.cpu_times() for child in psutil.Process().children()]  # what jobs are forked from
    return time.process_time() + float(sum(t.user + t.system + t.children_user + t.children_system for t in servers))


def learner(python: str, module: str, told: str, path: Path) -> Callable[[], Learned]:
    """Return what learns the stream in the environment of a peer."""
    command = [python, "-m", f"benchmarks.peers.learners.{module}", str(path), told]

    def run() -> Learned:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        said = json.loads(done.stdout.splitlines()[-1])
        after = said["after"]
        return Learned(
            rate=rotation.CORRECTIONS / said["seconds"],
            worked=rotation.CORRECTIONS / said["worked"],
            upright_before=said["before"]["upright"],
            **after,
        )

    return run


def _told(name: str, learned: Learned) -> Learned:
    """Show what was measured as it comes: the whole takes minutes."""
    sys.stderr.write(f"{name}: {learned}\n")
    return learned


def _stream(drawn: rotation.Stream) -> Stream:
    upright = rotation.training_rows(SEED)
    return Stream(
        upright=_flat(upright),
        turned=_flat(drawn.turned),
        upright_test=_flat(drawn.original_test),
        turned_test=_flat(drawn.turned_test),
    )


def _flat(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    return (examples.rows.reshape(-1, 784) / 255).astype(np.float32), examples.labels.astype(np.int64)


def _row(name: str, found: list[Learned]) -> Row:
    rate, worked, turned, upright, before = (
        statistics.median(getattr(one, figure) for one in found) for figure in Learned.__slots__
    )
    rates = f"{rate:,.0f} rows/s, {worked:,.0f} of processor time"
    figure = f"{rates}; turned {turned:.1%}, upright {before:.1%} -> {upright:.1%}"
    return Row(name, figure, "")


def _share(name: str, found: list[dict[str, Learned]]) -> Row:
    ways = [way for way in found[0] if way.startswith("ours")]
    clock, worked = (
        {way: statistics.median(getattr(one[way], rate) / getattr(one[name], rate) for one in found) for way in ways}
        for rate in ("rate", "worked")
    )
    figure = ", ".join(f"{clock[way]:.1f}x {way.removeprefix('ours, ')} ({worked[way]:.1f}x)" for way in ways)
    best = max(clock.values())
    return Row(f"our rows/s over {name} (of processor time)", figure, f">= {TARGET:.0f}x", best >= TARGET)
