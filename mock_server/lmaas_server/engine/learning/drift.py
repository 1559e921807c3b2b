"""Whether the mean of a stream of numbers changed: ADWIN, in memory that grows with the logarithm of the stream.

Knows no model and no deployment, and imports no torch. Bifet and Gavaldà, "Learning from Time-Changing Data with
Adaptive Windowing", SDM 2007: the window of what was seen is kept as an exponential histogram, and an alarm is that
some cut parts it into two whose means differ by more than chance allows. After an alarm the window begins anew, so that
one change makes one alarm. The positions of the alarms are those of river 0.26.1 (`river.drift.ADWIN`), which the tests
hold it to.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["DELTA", "Adwin", "Change"]

DELTA = 0.002
"""How likely an alarm is, at each check, though nothing changed; the bound of the paper holds it well below."""
_CHECK_EVERY = 32
_MIN_WIDTH = 10
_MIN_PART = 5
_BUCKETS = 5
"""A row of the histogram that has one more than these merges its two oldest into one of the next row."""


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm: the mean of the older part of the window and of the newer, and how many numbers each had."""

    before: float
    after: float
    older: int
    newer: int
    at: int
    """How many numbers had been seen of the stream."""


_Bucket: TypeAlias = tuple[float, float]
"""The sum of some numbers, and the sum of their squared distances from their mean."""


@dataclass(slots=True)
class Adwin:
    """A window over the newest numbers of a stream, as long as their mean seems to be one.

    `rows[n]` holds buckets of 2**n numbers, the oldest first; the last row is the oldest.
    """

    delta: float = DELTA
    check_every: int = _CHECK_EVERY
    seen: int = 0
    width: int = 0
    total: float = 0.0
    spread: float = 0.0
    rows: list[list[_Bucket]] = field(default_factory=lambda: [[]])

    @property
    def mean(self) -> float:
        """The mean of the window; 0 while it is empty."""
        return self.total / self.width if self.width else 0.0

    def update(self, value: float) -> Change | None:
        """Take in a number; return a change if one shows, which is looked for at every `check_every`-th number."""
        changes = self.extend((value,))
        return changes[0][1] if changes else None

    def extend(self, values: Iterable[float]) -> list[tuple[int, Change]]:
        """Take in numbers one after the other; return the changes that showed, and at which of `values` each did."""
        changes: list[tuple[int, Change]] = []
        before, check_every, newest = self.seen, self.check_every, self.rows[0]
        for place, value in enumerate(values):
            if self.width:
                self.spread += self.width * (value - self.total / self.width) ** 2 / (self.width + 1)
            self.width += 1
            self.total += value
            newest.append((value, 0.0))
            if len(newest) > _BUCKETS:
                self._merge()
            self.seen = before + place + 1
            if self.width % check_every or self.width <= _MIN_WIDTH:
                continue
            if (change := self._look()) is not None:
                changes.append((place, change))
                newest = self.rows[0]
        return changes

    def state(self) -> dict[str, Any]:
        """Return all there is to go on with later, as JSON: some hundred numbers after a million."""
        return {
            "seen": self.seen,
            "width": self.width,
            "total": self.total,
            "spread": self.spread,
            "rows": [[list(bucket) for bucket in row] for row in self.rows],
        }

    @classmethod
    def restored(cls, state: dict[str, Any], *, delta: float = DELTA, check_every: int = _CHECK_EVERY) -> Adwin:
        """Return a window that goes on where `state` was taken."""
        return cls(
            delta=delta,
            check_every=check_every,
            seen=state["seen"],
            width=state["width"],
            total=state["total"],
            spread=state["spread"],
            rows=[[(total, spread) for total, spread in row] for row in state["rows"]],
        )

    def _merge(self) -> None:
        """Make one bucket of the next row of the two oldest of each row that is too long."""
        for level, row in enumerate(self.rows):
            if len(row) <= _BUCKETS:
                return
            size = 2**level
            (first, first_spread), (second, second_spread) = row[0], row[1]
            del row[:2]
            between = size * (first / size - second / size) ** 2 / 2
            merged = (first + second, first_spread + second_spread + between)
            if level + 1 == len(self.rows):
                self.rows.append([merged])
                return
            self.rows[level + 1].append(merged)

    def _look(self) -> Change | None:
        """Return the change at the cut that parts the window most clearly, and begin anew; None if no cut parts it."""
        log_term = math.log(2 * math.log(self.width) / self.delta)
        spread_term, slack_term = 2 * self.spread / self.width * log_term, 2 / 3 * log_term
        if not self._may_part(spread_term):
            return None
        older, newer, older_total, newer_total = 0, self.width, 0.0, self.total
        clearest, change = 1.0, None
        for level in range(len(self.rows) - 1, -1, -1):
            size = 2**level
            for total, _ in self.rows[level]:
                older += size
                newer -= size
                older_total += total
                newer_total -= total
                if older < _MIN_PART or newer < _MIN_PART:
                    continue
                apart = abs(older_total / older - newer_total / newer)
                harmonic = 1 / (older - _MIN_PART + 1) + 1 / (newer - _MIN_PART + 1)
                if apart * apart <= spread_term * harmonic:
                    continue  # most cuts: below the larger term of the bound, and no root to take
                bound = math.sqrt(spread_term * harmonic) + slack_term * harmonic
                if apart > clearest * bound:
                    clearest = apart / bound
                    change = Change(older_total / older, newer_total / newer, older, newer, self.seen)
        if change is not None:
            self.width, self.total, self.spread, self.rows = 0, 0.0, 0.0, [[]]
        return change

    def _may_part(self, spread_term: float) -> bool:
        """Tell whether any cut comes near its bound; nearly always none does, and this costs half of the exact look.

        The means of the parts differ by `apart * width / (older * newer)`, where `apart` is how far the sum of the
        older part is from what the mean of all would make it. The bound is larger than the root of
        `spread_term * width / (older * newer)`; a hundredth is left to rounding.
        """
        mean, width = self.total / self.width, self.width
        least = 0.99 * spread_term / width
        older, apart = 0, 0.0
        for level in range(len(self.rows) - 1, -1, -1):
            size = 2**level
            expected = size * mean
            for total, _ in self.rows[level]:
                older += size
                apart += total - expected
                if apart * apart > least * older * (width - older) and width - older >= _MIN_PART:
                    return True
        return False
