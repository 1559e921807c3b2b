"""Whether the gate lets pass what is better, and nothing else: one update a seed in each of five situations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.learning.data import digits, rotated
from benchmarks.learning.loop import GATE_SEEDS, NAIVE, Examples, Line, Loop, promoted
from benchmarks.learning.rotation import DEGREES, champion_of, later_rows
from lmaas import LMaaS

CORRECTIONS = 1_600
TEST_ROWS = 4_000


@dataclass(frozen=True, slots=True)
class Situation:
    """What people say, and how often the gate should believe them."""

    what: str
    said: Callable[[Examples, np.random.Generator], Examples]
    turned: bool
    """Whether what is to be read is turned."""
    least: int = 0
    most: int = len(GATE_SEEDS)

    @property
    def floor(self) -> str:
        """Say in words how many promotions are right."""
        return f"{self.least} of {len(GATE_SEEDS)} at least" if self.least else f"{self.most}"


def _true(rows: Examples, _: np.random.Generator) -> Examples:
    return rows


def _noisy(share: float) -> Callable[[Examples, np.random.Generator], Examples]:
    def said(rows: Examples, generator: np.random.Generator) -> Examples:
        wrong = generator.random(len(rows)) < share
        return Examples(rows.rows, np.where(wrong, generator.integers(0, 10, len(rows)), rows.labels))

    return said


def _swapped(rows: Examples, _: np.random.Generator) -> Examples:
    other = np.arange(10)
    other[[4, 9]] = 9, 4
    return Examples(rows.rows, other[rows.labels])


SITUATIONS = (
    Situation("nothing has changed", _true, turned=False, most=0),
    Situation("half of the labels by chance", _noisy(0.5), turned=False, most=0),
    Situation("4 and 9 swapped", _swapped, turned=False, most=0),
    Situation("turned by 45 degrees", _true, turned=True, least=4),
    Situation("turned, a fifth of the labels by chance", _noisy(0.2), turned=True, least=4),
)


def measure(client: LMaaS) -> list[Line]:
    """Return a line a situation: promotions, and what became of true accuracy in the worst seed."""
    test = digits("t10k")
    lines = []
    for number, situation in enumerate(SITUATIONS):
        count = 0
        changes: list[float] = []
        naive: list[float] = []
        for seed in GATE_SEEDS:
            generator = np.random.default_rng(seed)
            rows = later_rows(seed).take(np.arange(CORRECTIONS))
            tested = test.take(generator.permutation(len(test))[:TEST_ROWS])
            if situation.turned:
                rows, tested = rotated(rows, DEGREES), rotated(tested, DEGREES)
            said = situation.said(rows, generator)
            for name, request in (("ours", {}), ("naive", NAIVE)):
                loop = Loop(client, champion_of(client, seed), name=f"gate-{name}-{number}-{seed}", seed=seed)
                before = loop.accuracy(tested)
                loop.correct(said)
                job = loop.update(**request)
                (changes if name == "ours" else naive).append(loop.accuracy(tested) - before)
                count += promoted(job) and name == "ours"
        lines.append(
            Line(
                f"gate: {situation.what}, {CORRECTIONS:,} corrections",
                f"{count} promoted, {_points(changes)}",
                situation.floor,
                _points(naive),
                situation.least <= count <= situation.most,
            )
        )
    return lines


def _points(changes: list[float]) -> str:
    return f"{100 * min(changes):+.1f} to {100 * max(changes):+.1f} points"
