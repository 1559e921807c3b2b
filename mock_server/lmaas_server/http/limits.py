"""A token bucket per caller, and the headers that tell the truth about it. Knows no route; is given its clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from lmaas_server.errors import RateLimitedError

__all__ = ["Allowance", "RateLimiter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a caller has left after this request."""

    limit: int
    remaining: int
    reset_seconds: float

    @property
    def headers(self) -> dict[str, str]:
        """The `x-ratelimit-*` headers, in the words of the OpenAI API."""
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": f"{self.reset_seconds:.3f}s",
        }


class RateLimiter:
    """`per_minute` requests for each caller, refilled continuously; None lets everything pass."""

    def __init__(self, per_minute: int | None, *, clock: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def __repr__(self) -> str:
        return f"RateLimiter(per_minute={self._per_minute})"

    def take(self, caller: str) -> tuple[Allowance | None, RateLimitedError | None]:
        """Take one request from the caller's bucket; the error, if there is one, says how long to wait."""
        if self._per_minute is None:
            return None, None
        limit, rate, now = self._per_minute, self._per_minute / 60, self._clock()
        with self._lock:
            tokens, since = self._buckets.get(caller, (float(limit), now))
            tokens = min(float(limit), tokens + max(0.0, now - since) * rate)
            granted = tokens >= 1
            tokens -= 1 if granted else 0
            self._buckets[caller] = (tokens, now)
        allowance = Allowance(limit=limit, remaining=int(tokens), reset_seconds=(limit - tokens) / rate)
        if granted:
            return allowance, None
        wait = (1 - tokens) / rate
        message = f"Over {limit} requests a minute for this key; the next is welcome in {wait:.2f} s."
        return allowance, RateLimitedError(message, retry_after=wait)
