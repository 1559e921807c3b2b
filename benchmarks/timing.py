"""Two things measured in turn in one run, and the table that shows it; knows nothing of what is measured.

The machines are shared and noisy, so a figure counts as a ratio: A B A B ..., the median of each.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what was measured, the figure, its target, and whether it is met."""

    what: str
    figure: str
    target: str
    met: bool | None = None


def seconds(run: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def alternate(a: Callable[[], float], b: Callable[[], float], *, rounds: int = 5) -> tuple[float, float]:
    """Call `a` and `b` in turn, once unmeasured, then `rounds` times; return the median of what each returned."""
    a(), b()
    pairs = [(a(), b()) for _ in range(rounds)]
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs)


def table(title: str, rows: list[Row]) -> str:
    """Return the rows as text, aligned, with a mark where a target is given."""
    marks = {True: "ok", False: "MISSED", None: ""}
    cells = [("", "measured", "target", ""), *((r.what, r.figure, r.target, marks[r.met]) for r in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([title, "-" * len(title), *lines, ""])
