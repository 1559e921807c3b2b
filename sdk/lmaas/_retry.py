"""Retry, backoff and deadline as a flow: turns a `Request` into `Attempt`s. Knows no clock, no socket and no endpoint.

The rules, in the order in which they are asked:

1. A connection that fails, or an answer cut short, may be tried again; so may 408, 429 and 5xx.
2. `x-should-retry` overrules the status, either way. A 409 is tried again only where it says `true`.
3. No more than `max_retries` times, and only while the client's retry budget lasts.
4. The wait is `retry-after-ms`, else `Retry-After` (seconds or a date), up to 60 s; a longer one is raised instead.
   Without a hint: min(8, 0.5 * 2^n) * U(0.5, 1) seconds.
5. Nothing goes on beyond the deadline: a wait that would is not begun.

Trying again is always safe: everything that changes something carries one `Idempotency-Key` in all its attempts.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock

from lmaas._hints import retry_after
from lmaas._request import (
    Answer,
    Attempt,
    Flow,
    Now,
    Request,
    ResultT,
    Sleep,
    Slice,
    Together,
    TransportError,
    Upload,
    mint_key,
)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
RETRIED_STATUSES = frozenset({408, 429, *range(500, 600)})
RETRIED_FAILURES = frozenset({"connect", "read", "timeout", "protocol"})
LONGEST_HINT = 60.0
FIRST_DELAY = 0.5
LONGEST_DELAY = 8.0


class RetryBudget:
    """A token bucket all calls of a client share, so that a failing server is not buried under retries.

    A retry takes one token. Tokens come back with time (`per_second`) and with success (`per_success`), up to
    `capacity`: in a storm a client adds about a tenth to its load, where each call alone would triple it.
    """

    def __init__(self, *, capacity: float = 20.0, per_second: float = 0.5, per_success: float = 0.1) -> None:
        self.capacity = capacity
        self.tokens = capacity
        self._per_second = per_second
        self._per_success = per_success
        self._seen: float | None = None
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<RetryBudget {self.tokens:.1f} of {self.capacity:g}>"

    def take(self, now: float) -> bool:
        """Take a token for a retry at the time `now`; False if there is none."""
        with self._lock:
            elapsed = 0.0 if self._seen is None else max(0.0, now - self._seen)
            self._seen = now
            self.tokens = min(self.capacity, self.tokens + elapsed * self._per_second)
            if self.tokens < 1:
                return False
            self.tokens -= 1
            return True

    def succeeded(self) -> None:
        """Give back a part of a token for a call that went well."""
        if self.tokens < self.capacity:
            with self._lock:
                self.tokens = min(self.capacity, self.tokens + self._per_success)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a call is tried."""

    max_retries: int = 2
    timeout: float | None = 60.0
    deadline: float | None = None
    budget: RetryBudget = field(default_factory=RetryBudget)
    uniform: Callable[[], float] = random.random
    """Numbers in [0, 1), for the jitter."""
    mint: Callable[[], str] = mint_key


def backoff(retry: int, uniform: float) -> float:
    """Return the seconds to wait before the retry number `retry` (from 0), for a random `uniform` in [0, 1)."""
    return min(LONGEST_DELAY, FIRST_DELAY * 2.0**retry) * (0.5 + uniform / 2)


def wants_retry(outcome: Answer | TransportError) -> bool:
    """Return whether another attempt may mend it (rules 1 and 2)."""
    if isinstance(outcome, TransportError):
        return outcome.kind in RETRIED_FAILURES
    hint = outcome.headers.get("x-should-retry")
    if outcome.status < 400 or hint == "false":  # noqa: PLR2004 - HTTP's own border
        return False
    return hint == "true" or outcome.status in RETRIED_STATUSES


def wait_before(outcome: Answer | TransportError, retry: int, uniform: float) -> float | None:
    """Return the seconds to wait before the next attempt, or None if the server asks for too long (rule 4)."""
    hint = retry_after(outcome) if isinstance(outcome, Answer) else None
    if hint is None:
        return backoff(retry, uniform)
    return hint if hint <= LONGEST_HINT else None


def attempts(request: Request, policy: RetryPolicy) -> Flow[Answer | TransportError]:
    """Try `request` until it succeeds or the rules say stop; return the last outcome."""
    key, headers = _prepared(request, policy)
    timeout = request.options.get("timeout", policy.timeout)
    start: float = (yield Now()) if policy.deadline is not None else 0.0
    left = policy.deadline
    retry = 0
    while True:
        if retry:
            headers["x-lmaas-retry-count"] = str(retry)
        outcome: Answer | TransportError = yield Attempt(request, headers, timeout, retry, key, left)
        if not wants_retry(outcome):
            if isinstance(outcome, Answer) and outcome.status < 400:  # noqa: PLR2004 - HTTP's own border
                policy.budget.succeeded()
            return outcome
        wait = wait_before(outcome, retry, policy.uniform())
        if retry >= policy.max_retries or wait is None:
            return outcome
        now: float = yield Now()
        if policy.deadline is not None:
            left = start + policy.deadline - now - wait
            if left <= 0:
                return _out_of_time(outcome, policy.deadline, retry + 1)
        if not policy.budget.take(now):
            return outcome
        yield Sleep(wait)
        retry += 1


def _prepared(request: Request, policy: RetryPolicy) -> tuple[str | None, dict[str, str]]:
    """Return the idempotency key of the call, minted here once, and the headers of its first attempt."""
    options = request.options
    key = options.get("idempotency_key")
    if key is None and request.method not in SAFE_METHODS:
        key = policy.mint()
    headers = {**request.headers, "x-lmaas-retry-count": "0"}
    if key is not None:
        headers["idempotency-key"] = key
    if isinstance(request.body, Upload) and key is not None:
        headers["content-type"] = f"multipart/form-data; boundary={request.body.boundary(key)}"
        headers["content-length"] = str(request.body.length(key))
    if isinstance(request.body, Slice):
        headers["content-length"] = str(request.body.size)
    for name, value in options.get("extra_headers", {}).items():
        headers[name.lower()] = value
    return key, headers


def _out_of_time(outcome: Answer | TransportError, deadline: float, tries: int) -> Answer | TransportError:
    """Return what to tell when the deadline forbids another attempt: an answer speaks for itself."""
    if isinstance(outcome, Answer):
        return outcome
    message = f"the deadline of {deadline:g} s leaves no time for another attempt after {tries}: {outcome.message}"
    return TransportError("deadline", message, outcome.url, outcome.cause)


def retrying(flow: Flow[ResultT], policy: RetryPolicy) -> Flow[ResultT]:
    """Run `flow` with each of its requests tried as `policy` says; its other actions pass through."""
    reply: object = None
    error: BaseException | None = None
    while True:
        try:
            action = flow.send(reply) if error is None else flow.throw(error)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # a StopIteration holds Any
        error = None
        if isinstance(action, Together):
            action = replace(action, flows=tuple(retrying(each, policy) for each in action.flows))
        try:
            reply = (yield from attempts(action, policy)) if isinstance(action, Request) else (yield action)
        except GeneratorExit:
            flow.close()
            raise
        except BaseException as exc:  # noqa: BLE001 - the flow decides what is to be done about it
            error = exc
