"""Training through the service against the same loop written by hand in plain PyTorch, in turn, in one run.

    python benchmarks/training.py             the service half through the SDK against a live server
    python benchmarks/training.py --engine    the service half by a direct call of the engine, no server

Both train MLP(512, 512) on the 60,000 MNIST digits with fused Adam at batch 128 and measure the 10,000 test digits
after every epoch. The figure is the ratio of the medians; target: at most 1.05.
"""

from __future__ import annotations

import argparse
import gzip
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lmaas.types import MLP, Adam, TrainingRequest, Validation
from lmaas_server.engine.data.examples import Examples
from lmaas_server.engine.learning.train import train
from lmaas_server.engine.planning import plan_training
from lmaas_server.engine.reports import Finished

TARGET = 1.05
BATCH = 128
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


def by_engine(digits: Digits, epochs: int) -> Run:
    """Train by the engine, bundle, checkpoints and metrics included."""
    described = {"kind": "tensor", "shape": [28, 28], "dtype": "uint8", "normalize": "auto"}
    target = {"kind": "class", "classes": list(range(10))}
    rows, test = (
        Examples(inputs=x, targets=y, format="npz", input=described, target=target)
        for x, y in ((digits.x, digits.y), (digits.test_x, digits.test_y))
    )
    request = TrainingRequest(
        dataset="mnist",
        name="mnist",
        architecture=MLP(hidden=(512, 512)),
        epochs=epochs,
        batch_size=BATCH,
        optimizer=Adam(),
        validation=Validation(dataset="test"),
    )
    plan = plan_training(request, {"input": described, "target": target, "rows": len(rows)})
    with tempfile.TemporaryDirectory() as directory:
        started = time.perf_counter()
        *_, last = train(rows, plan, validation=test, directory=Path(directory))
        seconds = time.perf_counter() - started
    if not isinstance(last, Finished):
        raise TypeError(f"a training ends with Finished, not {last!r}")
    return Run(seconds=seconds, accuracy=last.metrics["accuracy"])


def compare(service: Callable[[Digits, int], Run], digits: Digits, *, epochs: int, rounds: int) -> float:
    """Run both in turn, print every pair, and return the ratio of the medians."""
    hand_runs, service_runs = [], []
    for index in range(rounds):
        hand_runs.append(by_hand(digits, epochs))
        service_runs.append(service(digits, epochs))
        print(f"{index + 1}: by hand {hand_runs[-1].seconds:6.2f} s   service {service_runs[-1].seconds:6.2f} s")
    hand, served = (statistics.median(run.seconds for run in runs) for runs in (hand_runs, service_runs))
    ratio = served / hand
    print(f"median by hand {hand:.2f} s ({statistics.median(r.accuracy for r in hand_runs):.2%} on the test digits)")
    print(f"median service {served:.2f} s ({statistics.median(r.accuracy for r in service_runs):.2%})")
    print(f"ratio {ratio:.3f}, target at most {TARGET}: {'met' if ratio <= TARGET else 'MISSED'}")
    return ratio


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", action="store_true", help="call the engine directly, without a server")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    digits = read_mnist()
    ratio = compare(by_engine, digits, epochs=arguments.epochs, rounds=arguments.rounds)
    return 0 if ratio <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
