"""What an update takes, and what those who ask for predictions notice of it: the slowest percent of answers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.learning.loop import SEEDS, Examples, Line, Loop, promoted
from benchmarks.learning.rotation import CORRECTIONS, champion_of, stream
from lmaas import LMaaS
from lmaas.types import Gate, Job

IDLE_SECONDS = 3.0
PAUSE = 0.005
"""Seconds between an answer and the next question: a service that is asked without any is never idle."""
FLOOR = 2.0
ROLLBACKS = 10
ROLLBACK_MS = 100
CORRECTED = 256
UPDATE_SECONDS = 2.0
"""Of an update from so many corrections: asked for, learned, gated and promoted."""


def measure(client: LMaaS) -> list[Line]:
    """Return the lines of latency (idle and update in turn, one pair a seed), of an update's time and of rollbacks."""
    seed = SEEDS[0]
    drawn = stream(seed)
    loop = Loop(client, champion_of(client, seed), name="latency", seed=seed)
    loop.correct(drawn.turned)
    row = drawn.turned.rows[:1]
    loop.accuracy(drawn.turned.take(np.arange(8)))  # the first answers load the model
    idle, busy, ratios, counts = [], [], [], []
    for _ in SEEDS:
        before = _p99(client, loop.name, row, _lasts(IDLE_SECONDS))
        job = client.update(loop.name, dry_run=True, seed=seed)
        during = _p99(client, loop.name, row, _runs(client, job))
        client.jobs.wait(job)
        idle.append(before[0])
        busy.append(during[0])
        ratios.append(during[0] / before[0])
        counts.append(during[1])
    ratio = statistics.median(ratios)
    what = f"p99 of predictions while {CORRECTIONS:,} corrections are learned, over idle"
    spread = f"{1000 * statistics.median(busy):.1f} over {1000 * statistics.median(idle):.1f} ms"
    figure = f"{ratio:.2f}x ({spread}, {min(counts)}+ requests)"
    return [
        Line(what, figure, f"<= {FLOOR:.0f}x", "", ratio <= FLOOR),
        _update(client, drawn.turned, seed),
        _rollback(client, loop, row),
    ]


def _update(client: LMaaS, turned: Examples, seed: int) -> Line:
    """Time updates from different rows, each of a deployment of its own."""
    took, better = [], True
    for number, rows in zip(range(len(SEEDS)), turned.batches(CORRECTED), strict=False):
        loop = Loop(client, champion_of(client, seed), name=f"timed-{number}", seed=seed)
        loop.correct(rows)
        began = time.perf_counter()
        better = promoted(loop.update()) and better
        took.append(time.perf_counter() - began)
    middle = statistics.median(took)
    what = f"an update from {CORRECTED} corrections, until it is {'promoted' if better else 'judged: NOT ALL PROMOTED'}"
    return Line(what, f"{middle:.1f} s", f"<= {UPDATE_SECONDS:.0f} s", "", better and middle <= UPDATE_SECONDS)


def _rollback(client: LMaaS, loop: Loop, row: Any) -> Line:
    """Roll back from an update, to and fro; each time the answers must be those from before, to the bit."""
    answers = [_answers(client, loop.name, row)]
    loop.update(gate=Gate(enabled=False))
    answers.append(_answers(client, loop.name, row))
    took, same = [], answers[0] != answers[1]
    for number in range(ROLLBACKS):
        began = time.perf_counter()
        client.deployments.rollback(loop.name)
        took.append(time.perf_counter() - began)
        same = same and _answers(client, loop.name, row) == answers[number % 2]
    slowest = 1000 * max(took)
    what = f"the slowest of {ROLLBACKS} rollbacks; answers are {'bit-identical' if same else 'NOT THE SAME'} after it"
    return Line(what, f"{slowest:.0f} ms", f"<= {ROLLBACK_MS} ms", "", same and slowest <= ROLLBACK_MS)


def _answers(client: LMaaS, name: str, row: Any) -> Any:
    return client.predict(name, row, probabilities=True, store=False).outputs[0].probabilities


def _p99(client: LMaaS, name: str, row: Any, asking: Callable[[], bool]) -> tuple[float, int]:
    """Ask one question after the other while `asking` says so; returns the 99th percentile in seconds, and how many."""
    took = []
    while asking():
        began = time.perf_counter()
        client.predict(name, row, store=False)
        took.append(time.perf_counter() - began)
        time.sleep(PAUSE)
    return float(np.quantile(took, 0.99)), len(took)


def _lasts(seconds: float) -> Callable[[], bool]:
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() < end


def _runs(client: LMaaS, job: Job) -> Callable[[], bool]:
    """Whether the job has not ended, looked up once in a while so that looking is no load."""
    asked = 0

    def running() -> bool:
        nonlocal asked
        asked += 1
        return bool(asked % 10) or not client.jobs.retrieve(job).ended

    return running
