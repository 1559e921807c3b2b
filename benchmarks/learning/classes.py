"""Digits arrive class by class: trained on 0 and 1 alone, the model is told of the others, two at a time, once each."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.learning.data import digits
from benchmarks.learning.loop import NAIVE, Examples, Line, Loop, medians, trained
from lmaas import LMaaS
from lmaas.types import MLP

PAIRS = ((2, 3), (4, 5), (6, 7), (8, 9))
FIRST_ROWS = 3_000
ROWS = 5_000
BATCH = 1_000
TEST_ROWS = 4_000
RECIPE: dict[str, Any] = {"architecture": MLP(hidden=(512, 512)), "epochs": 2, "batch_size": 128}


def _of(examples: Examples, pair: tuple[int, ...], count: int, generator: np.random.Generator) -> Examples:
    return examples.take(generator.permutation(np.flatnonzero(np.isin(examples.labels, pair)))[:count])


def measure(client: LMaaS) -> list[Line]:
    """Return the line of split MNIST: accuracy over all ten digits once the last pair has come."""
    train, test = digits("train"), digits("t10k")

    def once(seed: int) -> list[float]:
        generator = np.random.default_rng(seed)
        first = _of(train, (0, 1), FIRST_ROWS, generator)
        pairs = [_of(train, pair, ROWS, generator) for pair in PAIRS]
        tested = test.take(generator.permutation(len(test))[:TEST_ROWS])
        champion = trained(client, (first.rows, first.labels), name=f"two-digits-{seed}", seed=seed, **RECIPE)
        figures = []
        for name, request in (("ours", {}), ("naive", NAIVE)):
            loop = Loop(client, champion, name=f"classes-{name}-{seed}", seed=seed)
            for pair in pairs:
                for batch in pair.batches(BATCH):
                    loop.correct(batch)
                    loop.update(**request)
            figures.append(loop.accuracy(tested))
        return figures

    accuracy, naive = medians(once)
    return [
        Line(
            f"split MNIST, pair after pair, {len(PAIRS) * ROWS:,} corrections",
            f"{accuracy:.1%}",
            ">= 94 %",
            f"{naive:.1%}",
            accuracy >= 0.94,
        )
    ]
