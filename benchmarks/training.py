"""Training through the service against the same loop written by hand in plain PyTorch, in turn, in one run.

Both train MLP(512, 512) on the 60,000 MNIST digits with fused Adam at batch 128 on two threads and measure the 10,000
test digits after every epoch, each in a process of its own that has torch and, of the loop by hand, the rows already.
The service's time is from asking for the job to its end, as the server's record has it.
"""

from __future__ import annotations

import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.by_hand import BATCH
from benchmarks.timing import Row, alternate, table
from lmaas import LMaaS
from lmaas.testing import MockServer
from lmaas.types import MLP, Adam, Dataset, OneCycle, Schedule, Validation

__all__ = ["measure", "table"]

EPOCHS = 5
STARTS = 15
BEST_EPOCHS = 6
THREADS = 2
TARGET = 1.05
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """MNIST: uint8 pictures (rows, 28, 28) and int64 labels."""

    x: Array
    y: Array
    test_x: Array
    test_y: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training: wall time and what it reached on the test digits."""

    seconds: float
    accuracy: float


def read_mnist() -> Digits:
    """Read the four files from `LMAAS_DATA_DIR` or `../shared/data`."""
    folder = Path(os.environ.get("LMAAS_DATA_DIR", "../shared/data")) / "mnist"
    if not folder.is_dir():
        sys.exit(f"no MNIST in {folder}; set LMAAS_DATA_DIR to a directory that holds mnist/*.gz")

    def pixels(name: str) -> Array:
        with gzip.open(folder / f"{name}-images-idx3-ubyte.gz") as stream:
            return np.frombuffer(stream.read(), np.uint8, offset=16).reshape(-1, 28, 28)

    def labels(name: str) -> Array:
        with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz") as stream:
            return np.frombuffer(stream.read(), np.uint8, offset=8).astype(np.int64)

    return Digits(x=pixels("train"), y=labels("train"), test_x=pixels("t10k"), test_y=labels("t10k"))


def trained(command: list[str]) -> Run:
    """Return what a program that trains prints of itself.

    It runs in a session of its own, as jobs do: Linux shares the cores out among sessions before processes.
    """
    given = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=True, start_new_session=True)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def by_hand(digits: Path, epochs: int) -> Run:
    """Train by the loop of `by_hand.py`; importing torch and reading the file count for nobody."""
    return trained([sys.executable, "-m", "benchmarks.by_hand", str(digits), str(epochs), str(THREADS)])


def write_npz(digits: Digits, path: Path) -> Path:
    """Write the digits where programs that train find them."""
    np.savez(path, x=digits.x, y=digits.y, test_x=digits.test_x, test_y=digits.test_y)
    return path


def by_service(
    client: LMaaS,
    train: Dataset,
    test: Dataset,
    *,
    dropout: float = 0.0,
    schedule: Schedule | None = None,
    epochs: int = EPOCHS,
    seed: int = 0,
) -> Run:
    """Train the same network as a job."""
    job = client.train(
        train,
        name="mnist",
        architecture=MLP(hidden=(512, 512), dropout=dropout),
        optimizer=Adam(),
        schedule=schedule,
        epochs=epochs,
        batch_size=BATCH,
        validation=Validation(dataset=test.id),
        seed=seed,
    )
    ended = client.jobs.wait(job)
    if ended.finished_at is None:
        raise TypeError(f"an ended job has a time of its end: {ended!r}")
    return Run(seconds=ended.finished_at - ended.created_at, accuracy=ended.metrics["accuracy"])


def measure() -> tuple[str, list[Row]]:
    """Measure the two in turn, what two recipes reach over three seeds, and how soon a job begins."""
    digits = read_mnist()
    with (
        tempfile.TemporaryDirectory() as folder,
        MockServer(job_threads=THREADS) as server,
        server.client() as client,
    ):
        file = write_npz(digits, Path(folder, "digits.npz"))
        train = client.datasets.create((digits.x, digits.y), name="mnist")
        test = client.datasets.create((digits.test_x, digits.test_y), name="mnist-test")
        hand, served = alternate(
            lambda: by_hand(file, EPOCHS).seconds, lambda: by_service(client, train, test).seconds, rounds=9
        )
        plain = [by_service(client, train, test, seed=seed) for seed in range(3)]
        cycle = OneCycle(max_lr=3e-3)
        best = [
            by_service(client, train, test, dropout=0.2, schedule=cycle, epochs=BEST_EPOCHS, seed=seed)
            for seed in range(3)
        ]
        few = client.datasets.create((digits.x[:256], digits.y[:256]), name="few")
        begins = [_seconds_to_begin(client, few) for _ in range(STARTS)]
    figure = f"{served / hand:.3f}x ({served:.2f} over {hand:.2f} s)"
    rows = [Row("MLP(512, 512), 5 epochs, over a loop by hand", figure, f"<= {TARGET}x", served / hand <= TARGET)]
    rows.append(_reached("plain Adam, 10,000 test digits", plain, 0.973, None))
    rows.append(_reached("dropout 0.2 and one cycle to 3e-3", best, 0.983, 30.0))
    begin = statistics.median(begins)
    what = f"from asking for a job to its first step, 256 rows (median of {STARTS})"
    rows.append(Row(what, f"{begin * 1000:.0f} ms", "<= 200 ms", begin <= 0.2))
    return "Training on MNIST", rows


def _seconds_to_begin(client: LMaaS, rows: Dataset) -> float:
    """Return how long after it was asked for a job has its rows and its network, by the server's clock."""
    job = client.jobs.wait(client.train(rows, name="few", architecture=MLP(hidden=(512, 512)), epochs=1))
    ready = next(event for event in client.jobs.events(job) if "training_rows" in (event.data or {}))
    return ready.created_at - job.created_at


def _reached(what: str, runs: list[Run], floor: float, most: float | None) -> Row:
    accuracy = statistics.median(run.accuracy for run in runs)
    took = statistics.median(run.seconds for run in runs)
    target = f">= {floor:.1%}" + (f" in {most:.0f} s" if most else "")
    met = accuracy >= floor and (most is None or took <= most)
    return Row(what, f"{accuracy:.2%} in {took:.1f} s (median of 3 seeds)", target, met)
