"""A token bucket per caller, and the headers that tell the truth about it. Knows no route; is given its clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from lmaas_server.errors import RateLimitedError

__all__ = ["Allowance", "Bucket", "Buckets", "OwnBuckets", "RateLimiter"]

Bucket: TypeAlias = tuple[float, float]
"""How many requests are left, and when that was so."""


class Buckets(Protocol):
    """Where buckets are kept; `shared_buckets.SharedBuckets` keeps them for several processes."""

    def change(self, caller: str, by: Callable[[Bucket | None], Bucket]) -> None:
        """Put what `by` returns in place of a caller's bucket, None if there is none; nobody else does meanwhile."""


class OwnBuckets:
    """Buckets in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buckets: dict[str, Bucket] = {}

    def __repr__(self) -> str:
        return f"OwnBuckets({len(self._buckets)} callers)"

    def change(self, caller: str, by: Callable[[Bucket | None], Bucket]) -> None:
        """Put what `by` returns in place of a caller's bucket."""
        with self._lock:
            self._buckets[caller] = by(self._buckets.get(caller))


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

    def __init__(self, per_minute: int | None, *, clock: Callable[[], float], buckets: Buckets | None = None) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets = buckets or OwnBuckets()

    def __repr__(self) -> str:
        return f"RateLimiter(per_minute={self._per_minute})"

    def take(self, caller: str) -> tuple[Allowance | None, RateLimitedError | None]:
        """Take one request from the caller's bucket; the error, if there is one, says how long to wait."""
        if self._per_minute is None:
            return None, None
        limit, rate, now = self._per_minute, self._per_minute / 60, self._clock()
        granted, tokens = False, 0.0

        def taken(bucket: Bucket | None) -> Bucket:
            nonlocal granted, tokens
            left, since = bucket or (float(limit), now)
            left = min(float(limit), left + max(0.0, now - since) * rate)
            granted = left >= 1
            tokens = left - 1 if granted else left
            return tokens, now

        self._buckets.change(caller, taken)
        allowance = Allowance(limit=limit, remaining=int(tokens), reset_seconds=(limit - tokens) / rate)
        if granted:
            return allowance, None
        wait = (1 - tokens) / rate
        message = f"Over {limit} requests a minute for this key; the next is welcome in {wait:.2f} s."
        return allowance, RateLimitedError(message, retry_after=wait)
