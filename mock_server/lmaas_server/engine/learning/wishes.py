"""What can be asked of running work - pause, cancel - and when it last said how far it is. Knows no work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from lmaas_server.engine.reports import Cancelled

Wish = Literal["pause", "cancel"] | str | None
Control = Callable[[], Wish]
"""Asked between steps, so it must be cheap."""
_SHARE = 0.1
"""Of the time since the first report, which passes until the next."""


def no_wish() -> Wish:
    """Want nothing: the work runs to its end."""
    return None


def stop_if_cancelled(control: Control) -> None:
    """Raise Cancelled where that is the wish; for work too short to be worth a pause."""
    if control() == "cancel":
        raise Cancelled


class Pace:
    """Says when it is time for the next report of progress: at once, then ten a second, down to one a second.

    A report interrupts the threads that compute, and the longer the work runs the less each has to say.
    """

    def __init__(self, seconds: float = 0.1, most: float = 1.0) -> None:
        self._seconds = seconds
        self._most = most
        self._start = 0.0
        self._next = 0.0

    def __repr__(self) -> str:
        return f"Pace(every {self._seconds} to {self._most} s)"

    def due(self) -> bool:
        """Return whether a report is due; if so the next one is due an interval later."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._start = self._start or now
        self._next = now + min(max(self._seconds, (now - self._start) * _SHARE), self._most)
        return True
