"""What can be asked of running work - pause, cancel - and when it last said how far it is. Knows no work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from lmaas_server.engine.reports import Cancelled

Wish = Literal["pause", "cancel"] | str | None
Control = Callable[[], Wish]
"""Asked between steps, so it must be cheap."""


def no_wish() -> Wish:
    """Want nothing: the work runs to its end."""
    return None


def stop_if_cancelled(control: Control) -> None:
    """Raise Cancelled where that is the wish; for work too short to be worth a pause."""
    if control() == "cancel":
        raise Cancelled


class Pace:
    """Says when it is time for the next report of progress: at once, then at most ten a second."""

    def __init__(self, seconds: float = 0.1) -> None:
        self._seconds = seconds
        self._next = 0.0

    def __repr__(self) -> str:
        return f"Pace(every {self._seconds} s)"

    def due(self) -> bool:
        """Return whether a report is due; if so the next one is due an interval later."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True
