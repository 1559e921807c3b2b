"""Wakes who waits for news of a job; knows no database.

One process wide: what another process writes rings no bell here. Where there are others, who waits also asks again
every so often.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable


class Bell:
    """A condition per name, made when somebody waits and gone with the last who does."""

    def __init__(self, *, ask_every: float | None = None) -> None:
        """`ask_every` is how many seconds pass at most before a question is put again without a ring."""
        self._ask_every = ask_every
        self._lock = threading.Lock()
        self._waiting: dict[str, set[threading.Event]] = defaultdict(set)

    def __repr__(self) -> str:
        return f"Bell(waiting={sorted(self._waiting)})"

    def ring(self, name: str) -> None:
        """Wake everybody who waits for `name`."""
        with self._lock:
            for waiter in self._waiting.get(name, ()):
                waiter.set()

    def wait(self, name: str, happened: Callable[[], bool], timeout: float) -> bool:
        """Return True once `happened()` is true, asked now and after each ring; False after `timeout` seconds.

        The waiter is registered before the question is first put, so that no ring between the two is lost.
        """
        waiter = threading.Event()
        with self._lock:
            self._waiting[name].add(waiter)
        try:
            return self._ask(waiter, happened, timeout)
        finally:
            with self._lock:
                self._waiting[name].discard(waiter)
                if not self._waiting[name]:
                    del self._waiting[name]

    def _ask(self, waiter: threading.Event, happened: Callable[[], bool], timeout: float) -> bool:
        end = time.monotonic() + timeout
        while not happened():
            left = max(0.0, end - time.monotonic())
            rung = waiter.wait(left if self._ask_every is None else min(left, self._ask_every))
            if not rung and time.monotonic() >= end:
                return happened()
            waiter.clear()
        return True
