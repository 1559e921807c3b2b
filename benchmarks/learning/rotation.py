"""Digits come in turned by 45 degrees: what a stream of corrections teaches, and what it costs upright digits."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from benchmarks.learning.data import digits, rotated
from benchmarks.learning.loop import NAIVE, SEEDS, Examples, Line, Loop, trained
from lmaas import LMaaS
from lmaas.types import MLP

DEGREES = 45.0
CORRECTIONS = 3_200
BATCH = 320
TRAINING_ROWS = 50_000
TEST_ROWS = 4_000
METHODS: dict[str, dict[str, Any]] = {"ours": {}, "naive": NAIVE}
"""What their updates ask for."""
RECIPE: dict[str, Any] = {"architecture": MLP(hidden=(512, 512)), "epochs": 4, "batch_size": 128}


@dataclass(frozen=True, slots=True)
class Stream:
    """What a seed draws: rows to correct, and two tests."""

    turned: Examples
    original_test: Examples
    turned_test: Examples


@dataclass(frozen=True, slots=True)
class Point:
    """Accuracies after so many corrections."""

    corrections: int
    drifted: float
    original: float


@cache
def _files() -> tuple[Examples, Examples, Examples]:
    train, test = digits("train"), digits("t10k")
    return train, test, rotated(test, DEGREES)


def _order(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(_files()[0]))


def training_rows(seed: int) -> Examples:
    """Return the rows, upright, that the champion of this seed is trained on."""
    return _files()[0].take(_order(seed)[:TRAINING_ROWS])


def later_rows(seed: int) -> Examples:
    """Return the rows, upright, that the champion of this seed was not trained on."""
    return _files()[0].take(_order(seed)[TRAINING_ROWS:])


def stream(seed: int) -> Stream:
    """Draw what is corrected and tested by a seed."""
    _, test, turned_test = _files()
    tested = np.random.default_rng(seed).permutation(len(test))[:TEST_ROWS]
    later = later_rows(seed).take(np.arange(CORRECTIONS))
    return Stream(rotated(later, DEGREES), test.take(tested), turned_test.take(tested))


def champion_of(client: LMaaS, seed: int) -> str:
    """Return the model of upright digits of a seed; on one server it is trained once."""
    name = f"digits-{seed}"
    for model in client.models.list(name=name):
        if model.version == 1:
            return model.id
    rows = training_rows(seed)
    return trained(client, (rows.rows, rows.labels), name=name, seed=seed, **RECIPE)


def corrected(client: LMaaS, champion: str, drawn: Stream, *, name: str, seed: int, **request: Any) -> Iterator[Point]:
    """Correct batch after batch with an update each, and yield where the service stands, beginning before any."""
    loop = Loop(client, champion, name=name, seed=seed)
    yield Point(0, loop.accuracy(drawn.turned_test), loop.accuracy(drawn.original_test))
    for number, batch in enumerate(drawn.turned.batches(BATCH), start=1):
        loop.correct(batch)
        loop.update(**request)
        yield Point(number * BATCH, loop.accuracy(drawn.turned_test), loop.accuracy(drawn.original_test))


def curves(client: LMaaS) -> dict[str, list[list[Point]]]:
    """Return by method the points of each seed."""
    found: dict[str, list[list[Point]]] = {name: [] for name in METHODS}
    for seed in SEEDS:
        drawn, champion = stream(seed), champion_of(client, seed)
        for name, request in METHODS.items():
            points = list(corrected(client, champion, drawn, name=f"rotation-{name}-{seed}", seed=seed, **request))
            sys.stderr.write(f"{name} {seed}: {' '.join(f'{p.drifted:.3f}/{p.original:.3f}' for p in points)}\n")
            found[name].append(points)
    return found


def lines(found: dict[str, list[list[Point]]]) -> list[Line]:
    """Return the two lines of the rotation floor: what is gained, and what is lost; medians of the seeds."""
    ours, naive = (
        [statistics.median(figures) for figures in zip(*map(_outcome, found[name]), strict=True)] for name in METHODS
    )
    before, drifted, lost = ours
    count = f"{CORRECTIONS:,} corrections in {CORRECTIONS // BATCH} updates"
    return [
        Line(
            f"MNIST turned by 45 degrees, {count}",
            f"{before:.1%} -> {drifted:.1%}",
            ">= 90 %",
            f"{naive[1]:.1%}",
            drifted >= 0.90,
        ),
        Line(
            "    what upright digits lose",
            f"{100 * lost:.1f} points",
            "<= 1.5 points",
            f"{100 * naive[2]:.1f} points",
            lost <= 0.015,
        ),
    ]


def measure(client: LMaaS) -> list[Line]:
    """Run all seeds by both methods and return the floor's lines."""
    return lines(curves(client))


def _outcome(points: list[Point]) -> tuple[float, float, float]:
    """Return what is right of turned digits before and after, and what upright ones lost."""
    first, last = points[0], points[-1]
    return first.drifted, last.drifted, first.original - last.original
