"""The prediction path of the real server over a bare Flask route on granian by WSGI, in turn in one run.

The model is the MLP 784-512-512-10; the server asks for a key, validates, gives ids and keeps its durable log. The
load comes from wrk where it is installed, since a generator in Python takes a core; `benchmarks.load` stands in, and
always sends what is paced. Shares of the ceiling are figures; requests per second on shared cores are none.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import numpy as np

from benchmarks.timing import Row, table
from lmaas import LMaaS

__all__ = ["measure", "table"]

KEY = "bench-key"
CONNECTIONS = 16
SECONDS = 3.0
ROUNDS = 5
WIDTH = 784
_ROWS = 64
_PREDICTIONS = "/v1/deployments/digits/predictions"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one load found: requests per second, and latencies in ms."""

    rate: float
    p50: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The request that is sent over and over."""

    body: bytes
    media: str = "application/json"
    accept: str = "application/json"
    path: str = _PREDICTIONS

    @property
    def headers(self) -> dict[str, str]:
        """Without the length, which whoever sends it knows."""
        return {"Authorization": f"Bearer {KEY}", "Content-Type": self.media, "Accept": self.accept}

    @property
    def raw(self) -> bytes:
        """As it goes over the wire."""
        lines = [f"POST {self.path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def measure() -> tuple[str, list[Row]]:
    """Measure each row of the server's table."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bare = stack.enter_context(bare_server())
        ours = stack.enter_context(real_server(directory / "data"))
        prepare(ours)
        load = partial(loaded, directory=directory)
        two = stack.enter_context(real_server(directory / "two", workers="2"))
        prepare(two)
        rows = [*_one_row(load, bare, ours), *_many_rows(load, ours), *_two_workers(load, ours, two)]
    return f"Serving an MLP 784-512-512-10, {CONNECTIONS} connections, load by {'wrk' if _wrk() else 'Python'}", rows


def _one_row(load: Callable[..., Measured], bare: int, ours: int) -> Iterator[Row]:
    message = Message(body=json_body(1))
    pairs = in_turn(partial(load, bare, message), partial(load, ours, message))
    share = statistics.median(b.rate / a.rate for a, b in pairs)
    best = statistics.median(b.rate for _, b in pairs)
    p99 = statistics.median(b.p99 / a.p99 for a, b in pairs)
    yield Row("one row of JSON, requests over a bare Flask route", f"{share:.2f}x", ">= 0.5x", share >= 0.5)
    yield Row("the same, p99 over that of the bare route", f"{p99:.2f}x", "")
    paced = [load(ours, message, rate=best / 2) for _ in range(ROUNDS)]
    tail = statistics.median(found.p99 / found.p50 for found in paced)
    yield Row("p99 over p50 at half of the greatest load", f"{tail:.1f}x", "<= 3x", tail <= 3)


def _many_rows(load: Callable[..., Measured], ours: int) -> Iterator[Row]:
    one, many = Message(body=json_body(1)), Message(body=json_body(_ROWS))
    binary = Message(body=npy_body(_ROWS), media="application/x-npy", accept="application/x-npy")
    for what, message in (("JSON", many), ("npy", binary)):
        pairs = in_turn(partial(load, ours, one), partial(load, ours, message))
        gain = statistics.median(b.rate * _ROWS / a.rate for a, b in pairs)
        yield Row(f"{_ROWS} rows of {what} a request, rows/s over one row a request", f"{gain:.1f}x", "")


def _two_workers(load: Callable[..., Measured], one: int, two: int) -> Iterator[Row]:
    message = Message(body=json_body(1))
    pairs = in_turn(partial(load, one, message), partial(load, two, message))
    gain = statistics.median(b.rate / a.rate for a, b in pairs)
    yield Row("`--workers 2`, requests over one worker", f"{gain:.2f}x", ">= 1.6x", gain >= 1.6)


def in_turn(a: Callable[[], Measured], b: Callable[[], Measured]) -> list[tuple[Measured, Measured]]:
    """Return what `a` and `b` found, A B A B, after one round that does not count."""
    a(), b()
    return [(a(), b()) for _ in range(ROUNDS)]


def loaded(port: int, message: Message, *, directory: Path, rate: float | None = None) -> Measured:
    """Load the server at `port` for `SECONDS`.

    Raises:
        RuntimeError: An answer was not 200.
    """
    return _by_wrk(port, message, directory) if rate is None and _wrk() else _by_python(port, message, directory, rate)


def _wrk() -> str | None:
    return shutil.which("wrk")


def _by_wrk(port: int, message: Message, directory: Path) -> Measured:
    body, script = directory / "body", directory / "load.lua"
    body.write_bytes(message.body)
    headers = "".join(
        f"wrk.headers[{json.dumps(name)}] = {json.dumps(text)}\n" for name, text in message.headers.items()
    )
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = io.open({json.dumps(str(body))}, "rb"):read("*a")\n{headers}'
        "function done(summary, latency, requests)\n"
        '  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration,\n'
        "    latency:percentile(50), latency:percentile(99), summary.errors.status + summary.errors.timeout))\nend\n"
    )
    command = ["wrk", "--timeout=10s", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS:.0f}s", "-s", str(script)]
    output = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{message.path}"], capture_output=True, check=True, text=True
    )
    line = next(line for line in output.stdout.splitlines() if line.startswith("RESULT "))
    requests, duration, p50, p99, failures = (int(word) for word in line.split()[1:])
    return _checked(Measured(requests / duration * 1e6, p50 / 1000, p99 / 1000), failures)


def _by_python(port: int, message: Message, directory: Path, rate: float | None) -> Measured:
    request = directory / "request"
    request.write_bytes(message.raw)
    command = [sys.executable, "-m", "benchmarks.load", "127.0.0.1", str(port), str(request)]
    command += [f"--connections={CONNECTIONS}", f"--seconds={SECONDS}", *([f"--rate={rate}"] if rate else [])]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return _checked(Measured(found["rate"], found["p50"], found["p99"]), found["failures"])


def _checked(found: Measured, failures: int) -> Measured:
    if failures:
        raise RuntimeError(f"{failures} answers were no 200")
    return found


def json_body(rows: int) -> bytes:
    """Return a request of so many rows as a client writes it."""
    return json.dumps({"inputs": _pixels(rows).round(4).tolist()}).encode()


def npy_body(rows: int) -> bytes:
    """Return the same rows as an array."""
    from lmaas_server.services.npy import bytes_of

    return bytes_of(_pixels(rows).astype(np.float32))


def _pixels(rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(0).random((rows, WIDTH))


def prepare(port: int, *, seed: int = 0) -> None:
    """Train and deploy the MLP, as a new version if there is one; what it learns from noise is no matter."""
    random = np.random.default_rng(0)
    arrays = (random.random((500, WIDTH), dtype=np.float32), random.integers(0, 10, 500))
    with LMaaS(base_url=f"http://127.0.0.1:{port}", api_key=KEY) as client:
        architecture = {"type": "mlp", "hidden": [512, 512]}
        job = client.train(arrays, name="digits", architecture=architecture, epochs=1, seed=seed)
        client.deploy(client.jobs.wait(job).model or "", name="digits")


@contextmanager
def bare_server() -> Iterator[int]:
    """Run the ceiling and give its port."""
    port = free_port()
    with running([sys.executable, "-m", "benchmarks.bare_server", str(port)], port):
        yield port


@contextmanager
def real_server(data: Path, *, asked: str = "/readyz", **settings: str) -> Iterator[int]:
    """Run `lmaas-server` with a key and give its port once `asked` answers; `settings` are of its environment."""
    port = free_port()
    command = [sys.executable, "-m", "lmaas_server", "--port", str(port), "--data-dir", str(data)]
    environment = {"LMAAS_SERVER_API_KEYS": KEY, **{f"LMAAS_SERVER_{k.upper()}": v for k, v in settings.items()}}
    with running(command, port, environment, asked=asked):
        yield port


@contextmanager
def running(
    command: list[str], port: int, environment: dict[str, str] | None = None, *, asked: str = "/healthz"
) -> Iterator[int]:
    """Run a server until the end of the context; it is entered when `asked` answers, and gives the process id.

    Its bytecode is kept, as it is where the package is installed: an environment that forbids Python to write it has a
    checkout compiled at every start.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    given = {**kept, "OMP_NUM_THREADS": "1", **(environment or {})}
    with subprocess.Popen(command, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            await_answer(port, process, asked)
            yield process.pid
        finally:
            process.terminate()


def await_answer(port: int, process: subprocess.Popen[bytes], path: str) -> None:
    """Return when a path answers.

    Raises:
        RuntimeError: The process ended instead.
    """
    # One client for all tries: to make one takes 20 ms, which would be the server's.
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        while process.poll() is None:
            try:
                if client.get(path).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.005)
    raise RuntimeError(f"the server ended with {process.returncode}")


def free_port() -> int:
    """Return a port nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
