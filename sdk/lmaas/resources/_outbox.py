"""What waits in a buffer of feedback, and when it is to go. Knows no thread, no loop, no clock and no transport.

Items are numbered as they come in. A batch goes when there are enough for one, when the oldest has waited long enough,
or when someone waits for a number to be settled: stored, or known not to be.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lmaas import types
from lmaas._encode import encoded
from lmaas._flow import call
from lmaas._request import CallOptions, Flow, Request, mint_key
from lmaas.errors import FeedbackItemError, InvalidRequestError, LMaaSError, PayloadTooLargeError
from lmaas.resources._ids import JSON_CONTENT, with_key

PATH = "/v1/feedback"
BATCH = 10_000
"""Items in one request, at most."""
KEPT_ERRORS = 1000
"""Errors a buffer keeps. Where nobody is told of them as they come, more make `send` raise what there is."""

Outcome = types.Feedback | FeedbackItemError


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferPlan:
    """How a buffer behaves."""

    max_items: int
    max_age: float
    max_waiting: int
    on_error: Callable[[FeedbackItemError], object] | None
    source: str | None
    options: CallOptions

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            InvalidRequestError: One is out of range.
        """
        if not 1 <= self.max_items <= BATCH:
            raise InvalidRequestError(f"max_items is 1 to {BATCH:,}, not {self.max_items!r}", param="max_items")
        if not self.max_age >= 0:
            raise InvalidRequestError(f"max_age is in seconds, 0 or more, not {self.max_age!r}", param="max_age")
        if self.max_waiting < self.max_items:
            message = (
                f"max_waiting is {self.max_waiting!r}; it must hold a batch of max_items={self.max_items} at least"
            )
            raise InvalidRequestError(message, param="max_waiting")
        if "idempotency_key" in self.options:
            raise InvalidRequestError("a buffer makes a key for every batch it sends", param="idempotency_key")


@dataclass(slots=True)
class Outbox:
    """Items on their way; whoever shares it between threads holds a lock."""

    plan: BufferPlan
    accepted: int = 0
    """Items that have come in."""
    settled: int = 0
    """Items whose fate is known."""
    wanted: int = 0
    """Items up to this number are to go at once."""
    errors: list[FeedbackItemError] = field(default_factory=list[FeedbackItemError])
    waiting: deque[tuple[float, types.FeedbackItem]] = field(default_factory=deque[tuple[float, types.FeedbackItem]])
    _sending: int = 0

    @property
    def room(self) -> int:
        """How many more may come in."""
        return self.plan.max_waiting - len(self.waiting) - self._sending

    @property
    def is_full_of_errors(self) -> bool:
        """Whether more errors are kept than may be, and nobody is told as they come."""
        return self.plan.on_error is None and len(self.errors) >= KEPT_ERRORS

    def put(self, items: Sequence[types.FeedbackItem], now: float) -> None:
        """Take items in."""
        self.waiting.extend((now, item) for item in items)
        self.accepted += len(items)

    def due_in(self, now: float) -> float | None:
        """Return the seconds until a batch is due, 0 if one is; None if nothing waits."""
        if not self.waiting:
            return None
        if len(self.waiting) >= self.plan.max_items or self.settled < self.wanted:
            return 0.0
        return max(0.0, self.waiting[0][0] + self.plan.max_age - now)

    def take(self) -> list[types.FeedbackItem]:
        """Return the next batch, the oldest first."""
        batch = [self.waiting.popleft()[1] for _ in range(min(self.plan.max_items, len(self.waiting)))]
        self._sending += len(batch)
        return batch

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Note what became of a batch."""
        self._sending -= len(outcomes)
        self.settled += len(outcomes)
        self.errors += (outcome for outcome in outcomes if isinstance(outcome, FeedbackItemError))
        if self.plan.on_error is not None:
            del self.errors[:-KEPT_ERRORS]

    def take_errors(self) -> list[FeedbackItemError]:
        """Return the errors nobody was told of yet, and keep them no longer; none if they are told as they come."""
        if self.plan.on_error is not None:
            return []
        found, self.errors = self.errors, []
        return found


def delivery(items: Sequence[types.FeedbackItem], options: CallOptions) -> Flow[list[Outcome]]:
    """Send items, each to be stored whatever becomes of the others; return the outcomes in their order.

    A body that is too large is sent in halves. No error of the API is raised: it is the outcome of every item.
    """
    body = encoded(types.FeedbackBatch(items=list(items), partial=True))
    request = Request("POST", PATH, body=body, headers=JSON_CONTENT, options=with_key(options, mint_key()))
    try:
        page = yield from call(request, types.Page[types.Feedback | types.ErrorBody])
    except PayloadTooLargeError as error:
        if len(items) == 1:
            return failed(items, error)
        middle = len(items) // 2
        first = yield from delivery(items[:middle], options)
        return first + (yield from delivery(items[middle:], options))
    except LMaaSError as error:
        return failed(items, error)
    if len(page.data) != len(items):
        short = LMaaSError(f"the server answered {len(page.data)} outcomes for {len(items)} items of feedback")
        return failed(items, short)
    return [_outcome(item, answer) for item, answer in zip(items, page.data, strict=True)]


def failed(items: Sequence[types.FeedbackItem], cause: Exception) -> list[Outcome]:
    """Return what becomes of items whose call failed."""
    message = cause.message if isinstance(cause, LMaaSError) else f"{type(cause).__name__}: {cause}"
    return [FeedbackItemError(message, item=item, cause=cause) for item in items]


def _outcome(item: types.FeedbackItem, answer: types.Feedback | types.ErrorBody) -> Outcome:
    if isinstance(answer, types.Feedback):
        return answer
    # `items[17].value` names a place in a batch that the caller has never seen.
    param = (answer.error.param or "").partition("].")[2] or answer.error.param
    return FeedbackItemError(answer.error.message, item=item, code=answer.error.code, param=param)
