"""river: softmax regression by SGD, and an adaptive random forest, both row by row, which is how they learn.

python -m benchmarks.peers.learners.river STREAM.npz softmax|forest

They learn and answer some hundred rows a second: they are shown fewer upright digits beforehand than the networks, and
tested on fewer rows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from river import forest, linear_model, optim

from benchmarks.peers.learners.stream import Array, Stream, report

LEARNERS: dict[str, tuple[Callable[[], Any], int]] = {
    "softmax": (lambda: linear_model.SoftmaxRegression(optim.SGD(0.01)), 5_000),
    "forest": (lambda: forest.ARFClassifier(seed=0), 2_000),
}
"""How each is made, and how many upright digits it is shown first."""
NAMES = list(range(784))


def dicts(rows: Array) -> list[dict[int, float]]:
    """Return rows as river takes them."""
    return [dict(zip(NAMES, row, strict=True)) for row in rows.tolist()]


def main(path: str, name: str) -> None:
    """Learn the corrections and print what came of it."""
    stream = Stream.read(path, tested=1_000)
    build, shown = LEARNERS[name]
    learner = build()
    x, y = stream.upright
    for row, label in zip(dicts(x[:shown]), y[:shown].tolist(), strict=True):
        learner.learn_one(row, label)
    corrections = list(zip(dicts(stream.turned[0]), stream.turned[1].tolist(), strict=True))

    def learn() -> None:
        for row, label in corrections:
            learner.learn_one(row, label)

    report(stream, lambda rows: np.array([learner.predict_one(row) for row in dicts(rows)]), learn)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
