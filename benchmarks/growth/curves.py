"""How prediction grows with the rows of a request, with requests at once and with parameters."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import serving
from benchmarks.serving import KEY, Measured, Message, json_body, loaded, npy_body, prepare, real_server
from benchmarks.timing import Row
from lmaas import LMaaS
from lmaas.types import MLP

__all__ = ["Curve", "curves"]

ROUNDS = 3
BATCHES = (1, 4, 16, 64, 256)
CONNECTIONS = (1, 2, 4, 8, 16, 32, 64)
HIDDEN = ((16,), (128,), (512, 512), (1024, 1024), (2048, 2048), (4096, 4096))


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot: `plot` says which."""

    plot: str
    over: str
    label: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]


def curves(folder: Path) -> tuple[list[Row], list[Curve]]:
    """Measure all three; every point is a ratio to the first of its curve, in the same run."""
    with ExitStack() as stack:
        port = stack.enter_context(real_server(folder / "curves", max_upload_mb="4096"))
        prepare(port)
        load = partial(loaded, port, directory=folder)
        found = [*_batches(load), *_connections(load), *_parameters(port, folder)]
    rows = [Row(f"{c.label}, {c.over}: {_xs(c)}", ", ".join(f"{y:.2f}" for y in c.ys), "") for c in found]
    return rows, found


def _xs(curve: Curve) -> str:
    return ", ".join(f"{x:,.0f}" for x in curve.xs)


def _batches(load: partial[Measured]) -> Iterator[Curve]:
    for label, media, body in (("JSON", "application/json", json_body), ("npy", "application/x-npy", npy_body)):
        messages = [Message(body=body(rows), media=media, accept=media) for rows in BATCHES]
        rates = _in_turn([partial(load, message) for message in messages])
        rows_per_second = [rate * rows for rate, rows in zip(rates, BATCHES, strict=True)]
        yield Curve("batch", "rows a request", f"rows/s, {label}", BATCHES, _relative(rows_per_second))


def _connections(load: partial[Measured]) -> Iterator[Curve]:
    message = Message(body=json_body(1))
    runs = [partial(_with, load, message, count) for count in CONNECTIONS]
    yield Curve("concurrency", "requests at once", "requests/s", CONNECTIONS, _relative(_in_turn(runs)))


def _with(load: partial[Measured], message: Message, connections: int) -> Measured:
    before, serving.CONNECTIONS = serving.CONNECTIONS, connections
    try:
        return load(message)
    finally:
        serving.CONNECTIONS = before


def _parameters(port: int, folder: Path) -> Iterator[Curve]:
    """Return the time of one row, one request after the other, over that of the smallest network."""
    random = np.random.default_rng(0)
    arrays = (random.random((64, serving.WIDTH), dtype=np.float32), np.arange(64) % 10)
    sizes, took = [], []
    with LMaaS(base_url=f"http://127.0.0.1:{port}", api_key=KEY, timeout=600) as client:
        dataset = client.datasets.create(arrays)
        for number, hidden in enumerate(HIDDEN):
            name = f"grown-{number}"
            job = client.train(dataset, name=name, architecture=MLP(hidden=hidden), epochs=1)
            model = client.models.retrieve(client.jobs.wait(job).model or "")
            client.deploy(model, name=name)
            sizes.append(float(model.parameters))
        runs = [partial(_one_at_a_time, port, folder, f"grown-{number}") for number in range(len(HIDDEN))]
        took = _in_turn(runs, of="p50")
    yield Curve("parameters", "parameters of an MLP", "time of one row", tuple(sizes), _relative(took))


def _one_at_a_time(port: int, folder: Path, name: str) -> Measured:
    request = Message(body=json_body(1), path=f"/v1/deployments/{name}/predictions")
    return _with(partial(loaded, port, directory=folder), request, 1)


def _in_turn(runs: list[partial[Measured]], *, of: str = "rate") -> list[float]:
    """Return the median of each, measured in turn after a round that does not count."""
    for run in runs:
        run()
    rounds = [[getattr(run(), of) for run in runs] for _ in range(ROUNDS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def _relative(values: list[float]) -> tuple[float, ...]:
    return tuple(value / values[0] for value in values)
