"""What a batch costs as measured: so much for any, so much for each of its rows. Knows no clock and no model."""

from __future__ import annotations

__all__ = ["Costs"]

_MEMORY = 0.98
"""Weight of what was known, against one more batch: fifty batches are about what is remembered."""


class Costs:
    """A line through seconds over rows, by least squares in which older batches count less and less."""

    def __init__(self) -> None:
        self._weight = self._rows = self._seconds = self._squares = self._products = 0.0
        self.fixed: float | None = None
        """Seconds that a batch takes beside its rows; None until batches of two sizes were seen."""
        self.per_row: float | None = None
        self.quickest: float | None = None
        """Seconds for each row of the quickest batch, lately: what the work takes, whoever else has the cores."""

    def __repr__(self) -> str:
        return f"Costs(fixed={self.fixed}, per_row={self.per_row})"

    def add(self, rows: int, seconds: float) -> None:
        """Take note of one batch."""
        each = seconds / rows
        self.quickest = each if self.quickest is None else min(each, self.quickest / _MEMORY)
        self._weight = self._weight * _MEMORY + 1
        self._rows = self._rows * _MEMORY + rows
        self._seconds = self._seconds * _MEMORY + seconds
        self._squares = self._squares * _MEMORY + rows * rows
        self._products = self._products * _MEMORY + rows * seconds
        spread = self._squares * self._weight - self._rows * self._rows
        if spread > 1e-9 * self._squares * self._weight:
            slope = (self._products * self._weight - self._rows * self._seconds) / spread
            # Noise may bend the line below what can be: neither part is negative, nor a row dearer than a batch of one.
            self.per_row = min(max(slope, 0.0), self._seconds / self._rows)
            self.fixed = (self._seconds - self.per_row * self._rows) / self._weight

    def of(self, rows: int, *, batches: int = 1) -> float | None:
        """Return the seconds that so many rows take in so many batches; None before the first was measured."""
        if self.fixed is not None and self.per_row is not None:
            return self.fixed * batches + self.per_row * rows
        return self._seconds / self._rows * rows if self._rows else None
