"""How much each deployment answered since this process began: a few numbers under a lock. Knows no request."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lmaas_server.records import Json

__all__ = ["Tally", "Traffic"]


@dataclass(slots=True)
class Tally:
    """What one request adds."""

    rows: int = 0
    row_errors: int = 0


@dataclass(slots=True)
class _Total:
    requests: int = 0
    rows: int = 0
    row_errors: int = 0
    seconds: float = 0.0


class Traffic:
    """Counts requests, rows, bad rows and computing time by deployment."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._since = clock()
        self._lock = threading.Lock()
        self._totals: dict[str, _Total] = {}

    def __repr__(self) -> str:
        return f"Traffic({len(self._totals)} deployments)"

    @contextmanager
    def request(self, deployment: str) -> Iterator[Tally]:
        """Count one request that is answered; one that raises is not counted."""
        tally, began = Tally(), time.perf_counter()
        yield tally
        seconds = time.perf_counter() - began
        with self._lock:
            total = self._totals.setdefault(deployment, _Total())
            total.requests += 1
            total.rows += tally.rows
            total.row_errors += tally.row_errors
            total.seconds += seconds

    def of(self, deployment: str) -> Json:
        """Return the numbers of one deployment since this process began."""
        with self._lock:
            total = self._totals.get(deployment, _Total())
            mean = total.seconds / total.requests * 1000 if total.requests else None
        return {
            "since": self._since,
            "requests": total.requests,
            "rows": total.rows,
            "row_errors": total.row_errors,
            "mean_ms": None if mean is None else round(mean, 3),
        }

    def forget(self, deployment: str) -> None:
        """Drop a deployment that is gone: one of the same name begins at zero."""
        with self._lock:
            self._totals.pop(deployment, None)
