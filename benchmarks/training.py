"""Training through the service against the same loop written by hand in plain PyTorch, in turn, in one run.

Both train MLP(512, 512) on the 60,000 MNIST digits with fused Adam at batch 128 on two threads and measure the 10,000
test digits after every epoch. The service's time is from asking for the job to its end, as the server's record has it.
"""

from __future__ import annotations

import gzip
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.timing import Row, alternate, table
from lmaas import LMaaS
from lmaas.testing import MockServer
from lmaas.types import MLP, Adam, Dataset, OneCycle, Schedule, Validation

__all__ = ["measure", "table"]

BATCH = 128
EPOCHS = 5
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


def by_hand(digits: Digits, epochs: int) -> Run:
    """Train as one would in a notebook: all rows scaled once, batches by index, fused Adam."""
    started = time.perf_counter()
    torch.manual_seed(0)
    x = torch.from_numpy(digits.x.copy()).float().reshape(-1, 784)
    mean, std = x.mean(), x.std()
    x = (x - mean) / std
    test_x = (torch.from_numpy(digits.test_x.copy()).float().reshape(-1, 784) - mean) / std
    y, test_y = torch.from_numpy(digits.y), torch.from_numpy(digits.test_y)
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    accuracy = 0.0
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for at in range(0, len(x), BATCH):
            rows = order[at : at + BATCH]
            loss = functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
        accuracy = _accuracy(model, test_x, test_y)
    return Run(seconds=time.perf_counter() - started, accuracy=accuracy)


@torch.inference_mode()
def _accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return float((model(x).argmax(dim=1) == y).float().mean())


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
    """Measure the two in turn, and what two recipes reach over three seeds."""
    digits = read_mnist()
    torch.set_num_threads(THREADS)
    with MockServer(job_threads=THREADS) as server, server.client() as client:
        train = client.datasets.create((digits.x, digits.y), name="mnist")
        test = client.datasets.create((digits.test_x, digits.test_y), name="mnist-test")
        hand, served = alternate(
            lambda: by_hand(digits, EPOCHS).seconds, lambda: by_service(client, train, test).seconds, rounds=9
        )
        plain = [by_service(client, train, test, seed=seed) for seed in range(3)]
        cycle = OneCycle(max_lr=3e-3)
        best = [
            by_service(client, train, test, dropout=0.2, schedule=cycle, epochs=BEST_EPOCHS, seed=seed)
            for seed in range(3)
        ]
    figure = f"{served / hand:.3f}x ({served:.2f} over {hand:.2f} s)"
    rows = [Row("MLP(512, 512), 5 epochs, over a loop by hand", figure, f"<= {TARGET}x", served / hand <= TARGET)]
    rows.append(_reached("plain Adam, 10,000 test digits", plain, 0.973, None))
    rows.append(_reached("dropout 0.2 and one cycle to 3e-3", best, 0.983, 30.0))
    return "Training on MNIST", rows


def _reached(what: str, runs: list[Run], floor: float, most: float | None) -> Row:
    accuracy = statistics.median(run.accuracy for run in runs)
    took = statistics.median(run.seconds for run in runs)
    target = f">= {floor:.1%}" + (f" in {most:.0f} s" if most else "")
    met = accuracy >= floor and (most is None or took <= most)
    return Row(what, f"{accuracy:.2%} in {took:.1f} s (median of 3 seeds)", target, met)
