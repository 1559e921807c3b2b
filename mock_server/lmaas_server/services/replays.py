"""Recent answers by request key, in memory: a repeated prediction gets the answer of the first. Knows no storage.

The log of predictions is the memory behind this one; this is what makes the common case, a retry within seconds,
cost nothing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from lmaas_server.errors import ConflictError

__all__ = ["RecentAnswers", "key_reused"]

AnswerT = TypeVar("AnswerT")


@dataclass(slots=True)
class _Entry(Generic[AnswerT]):
    fingerprint: str
    answer: AnswerT | None = None
    size: int = 0


class RecentAnswers(Generic[AnswerT]):
    """The latest answers, up to a number of bytes."""

    def __init__(self, *, budget: int) -> None:
        self._budget = budget
        self._size = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry[AnswerT]] = OrderedDict()

    def __repr__(self) -> str:
        return f"RecentAnswers({len(self._entries)}, {self._size} bytes)"

    def begin(self, key: str, fingerprint: str) -> AnswerT | None:
        """Return the answer given to this key, or claim it and return None.

        Raises:
            ConflictError: `idempotency_key_reused` or, retryable, `request_in_progress`.
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self._entries[key] = _Entry(fingerprint)
                return None
            if entry.fingerprint != fingerprint:
                raise key_reused()
            if entry.answer is None:
                message = "The first request with this Idempotency-Key is still at work; ask again in a moment."
                raise ConflictError(message, code="request_in_progress", param="Idempotency-Key", retryable=True)
            return entry.answer

    def finish(self, key: str, answer: AnswerT, *, size: int) -> None:
        """Keep the answer, and let the oldest go where there is no room."""
        with self._lock:
            entry = self._entries[key]
            entry.answer, entry.size = answer, size + 200
            self._size += entry.size
            while self._size > self._budget:
                oldest, other = next(iter(self._entries.items()))
                if other.answer is None:
                    self._entries.move_to_end(oldest)
                else:
                    self._size -= self._entries.pop(oldest).size

    def abandon(self, key: str) -> None:
        """Forget a key whose work was not done."""
        with self._lock:
            self._entries.pop(key, None)


def key_reused() -> ConflictError:
    """Return the error about a key that came with another body."""
    message = "This Idempotency-Key was used with another request; mint a new key for new work."
    return ConflictError(message, code="idempotency_key_reused", param="Idempotency-Key")
