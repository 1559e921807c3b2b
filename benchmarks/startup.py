"""From nothing to an answer: `/healthz`, any other, the first prediction of a stored model; memory at rest.

Times of a start hold for the machine they were measured on; each is shown over that of the bare interpreter importing
Flask, which shares the machine's mood.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import httpx

from benchmarks.serving import KEY, json_body, prepare, real_server
from benchmarks.timing import Row, seconds, table

__all__ = ["measure", "table"]

ROUNDS = 5
_PREDICTIONS = "/v1/deployments/digits/predictions"
_IN_PROCESS = """
import time
from lmaas_server.testing import MockServer
with MockServer(): pass
began = time.perf_counter()
with MockServer() as server: print(time.perf_counter() - began)
"""


def measure() -> tuple[str, list[Row]]:
    """Measure each row of the table."""
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory)
        with real_server(data) as port:
            prepare(port)
        return "Start-up and memory", [*_starts(data), _in_process()]


def _starts(data: Path) -> Iterator[Row]:
    import_flask = [sys.executable, "-c", "import flask"]
    subprocess.run(import_flask, check=True)
    bare, health, ready, first, idle = [], [], [], [], []
    for _ in range(ROUNDS):
        bare.append(seconds(lambda: subprocess.run(import_flask, check=True)))
        began = time.perf_counter()
        with real_server(data, asked="/healthz") as port:
            health.append(time.perf_counter() - began)
            urlopen(f"http://127.0.0.1:{port}/readyz").close()
            ready.append(time.perf_counter() - began)
            _first_prediction(port)
            first.append(time.perf_counter() - began)
        with tempfile.TemporaryDirectory() as empty, real_server(Path(empty)):
            idle.append(memory_mb(os.getpid()))
    yield _row("start to /healthz", health, bare, target=0.5)
    yield _row("start to /readyz, which waits until the application is loaded", ready, bare)
    yield _row("start to the first prediction of a stored model", first, bare, target=3.0)
    megabytes = statistics.median(idle)
    yield Row("memory of the idle server's processes (PSS)", f"{megabytes:.0f} MB", "<= 80 MB", megabytes <= 80)


def _row(what: str, found: list[float], bare: list[float], *, target: float | None = None) -> Row:
    median, over = statistics.median(found), statistics.median(a / b for a, b in zip(found, bare, strict=True))
    shown = f"{median:.2f} s, {over:.1f}x `import flask`"
    return Row(what, shown, "") if target is None else Row(what, shown, f"<= {target} s", median <= target)


def _first_prediction(port: int) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
        while client.post(_PREDICTIONS, content=json_body(1)).status_code == httpx.codes.SERVICE_UNAVAILABLE:
            time.sleep(0.01)


def _in_process() -> Row:
    """Ready a second time in a process: what each test after the first waits for."""
    command = [sys.executable, "-c", _IN_PROCESS]
    found = [float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(ROUNDS)]
    median = statistics.median(found)
    return Row("a server in a test, ready", f"{median * 1000:.0f} ms", "<= 200 ms", median <= 0.2)


def memory_mb(parent: int) -> float:
    """Return what the children of a process, and theirs, take of memory; shared pages count once (Linux's PSS)."""
    return sum(_pss(process) for process in _descendants(parent)) / 1024


def _descendants(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task/{parent}/children")
    found = [int(word) for word in children.read_text().split()] if children.exists() else []
    return [*found, *(deeper for child in found for deeper in _descendants(child))]


def _pss(process: int) -> int:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
