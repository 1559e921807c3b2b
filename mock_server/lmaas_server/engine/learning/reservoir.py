"""Rows of feedback that earlier updates learned from, at most so many, evenly over the classes. Knows no model."""

from __future__ import annotations

import numpy as np

from lmaas_server.engine.data.examples import Array


class Reservoir:
    """Indices into a store of rows; when it is full, a random row of the largest class makes room."""

    def __init__(self, capacity: int, generator: np.random.Generator) -> None:
        self._capacity = capacity
        self._generator = generator
        self._of_class: dict[object, list[int]] = {}
        self._count = 0
        self._sorted: Array | None = None
        """What is in it, until it changes: an update draws several times between two batches."""

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"Reservoir({self._count} of {self._capacity}, {len(self._of_class)} classes)"

    def add(self, row: int, label: object) -> None:
        """Take in a row of the given class (any one constant for values)."""
        self._of_class.setdefault(label, []).append(row)
        self._count += 1
        self._sorted = None
        if self._count > self._capacity:
            largest = max(self._of_class.values(), key=len)
            largest[int(self._generator.integers(len(largest)))] = largest[-1]
            largest.pop()
            self._count -= 1

    def rows(self) -> Array:
        """Return what is in it, by index."""
        if self._sorted is None:
            self._sorted = np.sort(np.array([row for rows in self._of_class.values() for row in rows], dtype=np.int64))
        return self._sorted

    def draw(self, count: int) -> Array:
        """Return up to `count` different rows at random."""
        rows = self.rows()
        return self._generator.choice(rows, size=min(count, len(rows)), replace=False)
