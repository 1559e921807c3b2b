"""This service and four model servers under the same load, two at a time, in turn: ours theirs ours theirs.

All serve the MLP 784-512-512-10 with one torch thread and one process that computes, each as its own first page shows
it. Ours asks for a key, validates, gives ids and keeps its durable log; theirs do none of it. The load is that of
`benchmarks.serving`: wrk, 16 connections. A server that cannot be installed or does not answer is told in its row.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import numpy as np

from benchmarks import serving
from benchmarks.peers.environments import NotInstalledError, Peer
from benchmarks.serving import Measured, Message, json_body, npy_body
from benchmarks.timing import Row

__all__ = ["measure"]

_MANY = 64
_TELL_NOBODY = {"BENTOML_DO_NOT_TRACK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
_START_SECONDS = 120.0
_STOP_SECONDS = 20.0


class SilentError(RuntimeError):
    """A server did not answer in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How one of them is asked."""

    peer: Peer
    path: str = "/predict"
    in_v2: bool = False
    """In the Open Inference Protocol, which MLServer speaks."""

    def message(self, rows: int) -> Message:
        """The request for so many rows."""
        if not self.in_v2:
            return Message(body=json_body(rows), path=self.path)
        data = json.loads(json_body(rows))["inputs"]
        given = {"name": "x", "shape": [rows, serving.WIDTH], "datatype": "FP32", "data": np.ravel(data).tolist()}
        return Message(body=json.dumps({"inputs": [given]}).encode(), path=self.path)

    @contextmanager
    def running(self) -> Iterator[int]:
        """Run it and give its port, once it has answered; it leads a group of processes, which end with it.

        Raises:
            NotInstalledError: It cannot be installed here.
            SilentError: It does not answer.
        """
        port = serving.free_port()
        command = [self.peer.python(), "-m", f"benchmarks.peers.servers.{self.peer.name}", str(port)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **_TELL_NOBODY}
        with subprocess.Popen(
            command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                _await_answer(port, self.message(1), process)
                yield port
            finally:
                _end(process)


ALL = (
    Served(peer=Peer("mlserver"), path="/v2/models/digits/infer", in_v2=True),
    Served(peer=Peer("litserve")),
    Served(peer=Peer("bentoml")),
    Served(peer=Peer("ray")),
)


def measure(rounds: int) -> tuple[str, list[Row]]:
    """Return our requests per second over each peer's, and p99 over p99: medians of the ratios of each round."""
    serving.ROUNDS = rounds
    with tempfile.TemporaryDirectory() as directory, serving.real_server(Path(directory) / "data") as ours:
        serving.prepare(ours)
        load = partial(serving.loaded, directory=Path(directory))
        rows = [row for served in ALL for row in _against(load, ours, served)]
    return f"Serving beside model servers ({serving.CONNECTIONS} connections, {rounds} rounds)", rows


def _against(load: partial[Measured], ours: int, served: Served) -> list[Row]:
    name = served.peer.versions
    try:
        with served.running() as port:
            one, many = served.message(1), served.message(_MANY)
            binary = Message(body=npy_body(_MANY), media="application/x-npy", accept="application/x-npy")
            return [
                _row(f"{name}: one row of JSON", load, (ours, Message(body=json_body(1))), (port, one), 2.0, tail=True),
                _row(f"{name}: {_MANY} rows of JSON", load, (ours, Message(body=json_body(_MANY))), (port, many), 1.5),
                _row(f"{name}: {_MANY} rows, ours npy, theirs JSON", load, (ours, binary), (port, many), 5.0),
            ]
    except (NotInstalledError, SilentError, subprocess.CalledProcessError, RuntimeError) as exc:
        return [Row(name, f"not measured: {exc}", "")]


def _row(
    what: str,
    load: partial[Measured],
    ours: tuple[int, Message],
    theirs: tuple[int, Message],
    target: float,
    *,
    tail: bool = False,
) -> Row:
    pairs = serving.in_turn(partial(load, *ours), partial(load, *theirs))
    gain = statistics.median(a.rate / b.rate for a, b in pairs)
    p99 = statistics.median(a.p99 / b.p99 for a, b in pairs)
    rates = [statistics.median(found.rate for found in side) for side in zip(*pairs, strict=True)]
    figure = f"{gain:.2f}x ({rates[0]:.0f} over {rates[1]:.0f} requests/s), p99 {p99:.2f}x"
    return Row(what, figure, f">= {target}x" + (", p99 < 1x" if tail else ""), gain >= target and (not tail or p99 < 1))


def _await_answer(port: int, message: Message, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SilentError(f"it ended with {process.returncode} as it started")
        try:
            url = f"http://127.0.0.1:{port}{message.path}"
            if httpx.post(url, content=message.body, headers=message.headers, timeout=10).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SilentError(f"it did not answer in {_START_SECONDS:.0f} s")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the first process, which ends its own if it is given the time; then whatever is left of the group."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
