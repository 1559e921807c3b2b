"""Wakes who waits for news of a job; knows no database.

One process wide: what another process writes rings no bell here.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable


class Bell:
    """A condition per name, made when somebody waits and gone with the last who does."""

    def __init__(self) -> None:
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

    @staticmethod
    def _ask(waiter: threading.Event, happened: Callable[[], bool], timeout: float) -> bool:
        end = time.monotonic() + timeout
        while not happened():
            if not waiter.wait(max(0.0, end - time.monotonic())):
                return happened()
            waiter.clear()
        return True
