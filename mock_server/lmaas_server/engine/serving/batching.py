"""Rows of several requests computed together: a line of callers for one model. Knows no HTTP, no network, no torch.

There is no thread of its own, so nothing is handed over where nobody else is there. Who comes while nobody computes
does so at once, in the calling thread. Who comes while somebody does stands in line; the next to compute is the first
in line and takes along who stands behind, up to `max_rows`. A batch is thus as large as the load makes it. Who has
several callers at hand already, as an event loop has, computes them `together` and stands in no line.

Waiting for more pays where the next row is due sooner than what a batch costs beside its rows, as measured: then a
batch is held open for that long at most, and never longer than `max_delay`.

A batch that fails is computed again in halves until the caller is found that makes it fail: only that one is told.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lmaas_server.engine.data.examples import Array
from lmaas_server.engine.serving.costs import Costs
from lmaas_server.errors import UnavailableError

__all__ = ["Batcher", "Limits"]

Compute = Callable[[Array], Array]

_HEAVY_SECONDS = 0.002
"""A batch of this and more lets other threads run all the while, so that more cores than one are of use."""
_LIGHT_SECONDS = 0.002
"""A batch of less holds an event loop up for less than threads would take from each other at the interpreter's lock."""
_GAP_MEMORY = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of a line; times in seconds."""

    max_rows: int
    max_delay: float
    max_callers: int = 1024
    """Callers in line; the next is refused."""
    max_wait: float = 10.0
    """A caller is refused who would stand longer, and leaves the line who has."""
    at_once: int = 1
    """Batches computed side by side where they are heavy."""


@dataclass(slots=True, eq=False)
class _Caller:
    rows: Array
    turn: threading.Lock = field(default_factory=threading.Lock)
    leads: bool = False
    found: Array | None = None
    error: BaseException | None = None


def _wait(condition: threading.Condition, seconds: float) -> None:
    condition.wait(seconds)


class Batcher:
    """A line of callers. Thread-safe."""

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.perf_counter,
        wait: Callable[[threading.Condition, float], None] = _wait,
    ) -> None:
        self.limits = limits
        self.costs = Costs()
        self._clock = clock
        self._wait = wait
        self._changed = threading.Condition(threading.Lock())
        self._line: deque[_Caller] = deque()
        self._rows_in_line = 0
        self._computing = 0
        self._holding_open = 0
        self._last: float | None = None
        self._gap: float | None = None

    def __repr__(self) -> str:
        return f"Batcher({self._computing} computing, {len(self._line)} in line, {self.costs!r})"

    def run(self, compute: Compute, rows: Array) -> Array:
        """Return what `compute` says of `rows`, (rows, ...), perhaps computed with those of other callers.

        Callers bring the same `compute`, or one that says the same: a batch is computed by the one of its first.

        Raises:
            UnavailableError: `overloaded`: the line is full, or too slow; `retry_after` is how long it may take.
            Exception: What `compute` raised on these rows.
        """
        caller = _Caller(rows)
        with self._changed:
            self._note_arrival()
            if self._computing < self._allowed() and not self._line:
                self._computing += 1
                caller.leads = True
            else:
                self._join(caller)
        if not caller.leads:
            self._stand(caller)
        if caller.leads:
            self._lead(compute, caller)
        answer = _answer_to(caller)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def is_light(self, rows: int) -> bool:
        """Whether so many rows are known to be computed in less time than is worth a thread of their own."""
        quickest = self.costs.quickest
        return quickest is not None and quickest * rows < _LIGHT_SECONDS

    def check_room(self, callers: int) -> None:
        """Refuse one more caller where so many wait already to be computed `together`.

        Raises:
            UnavailableError: `overloaded`.
        """
        if callers > self.limits.max_callers:
            raise _overloaded(callers, retry_after=max(self.costs.of(callers) or 0.0, 0.05))

    def together(self, compute: Compute, asked: Sequence[Array]) -> list[Array | BaseException]:
        """Return for the rows of each caller what `compute` says of them, or what it raised on them.

        They are computed in their order and in the calling thread, in batches of up to `max_rows`.
        """
        callers = deque(_Caller(rows) for rows in asked)
        served: list[_Caller] = []
        while callers:
            batch = [callers.popleft()]
            _take_along(batch, callers, len(batch[0].rows), self.limits.max_rows)
            self._serve(compute, batch)
            served += batch
        return [_answer_to(caller) for caller in served]

    def _note_arrival(self) -> None:
        now = self._clock()
        if self._last is not None:
            gap = now - self._last
            self._gap = gap if self._gap is None else self._gap * _GAP_MEMORY + gap * (1 - _GAP_MEMORY)
        self._last = now

    def _allowed(self) -> int:
        cost = self.costs.of(1)
        return self.limits.at_once if cost is not None and cost >= _HEAVY_SECONDS else 1

    def _join(self, caller: _Caller) -> None:
        limits = self.limits
        batches = 1 + self._rows_in_line // limits.max_rows
        ahead = self.costs.of(self._rows_in_line + len(caller.rows), batches=batches) or 0.0
        ahead /= self._allowed()
        if len(self._line) >= limits.max_callers or ahead > limits.max_wait:
            raise _overloaded(len(self._line), retry_after=max(ahead, 0.05))
        caller.turn.acquire()
        self._line.append(caller)
        self._rows_in_line += len(caller.rows)
        if self._holding_open:
            self._changed.notify_all()

    def _stand(self, caller: _Caller) -> None:
        """Wait until the caller is served or its turn has come to compute."""
        if caller.turn.acquire(timeout=self.limits.max_wait):
            return
        with self._changed:
            if caller in self._line:
                self._line.remove(caller)
                self._rows_in_line -= len(caller.rows)
                # Nobody waits for this answer any more; nothing is computed for it.
                raise _overloaded(len(self._line), retry_after=1.0)
        caller.turn.acquire()  # it is being computed just now

    def _lead(self, compute: Compute, caller: _Caller) -> None:
        batch = [caller]
        try:
            self._gather(batch)
            self._serve(compute, batch)
        except BaseException as exc:  # noqa: BLE001 - whatever it is, nobody may be left standing; the leader raises it
            for left in batch:
                if left.found is None and left.error is None:
                    left.error = exc
        finally:
            for served in batch[1:]:
                served.turn.release()
            with self._changed:
                self._computing -= 1
                self._call_next()

    def _call_next(self) -> None:
        if self._line and self._computing < self._allowed():
            first = self._line.popleft()
            self._rows_in_line -= len(first.rows)
            self._computing += 1
            first.leads = True
            first.turn.release()

    def _gather(self, batch: list[_Caller]) -> None:
        """Take along who stands in line, and wait for more where that pays."""
        with self._changed:
            rows = self._take(batch, len(batch[0].rows))
            if not self.limits.max_delay or rows >= self.limits.max_rows:
                self._call_next()
                return
            end = self._clock() + min(self.limits.max_delay, self.costs.fixed or 0.0)
            self._holding_open += 1
            while rows < self.limits.max_rows and not self._line and self._more_pays():
                if (left := end - self._clock()) <= 0:
                    break
                self._wait(self._changed, left)
                rows = self._take(batch, rows)
            self._holding_open -= 1
            self._call_next()

    def _more_pays(self) -> bool:
        return self.costs.fixed is not None and self._gap is not None and self._gap < self.costs.fixed

    def _take(self, batch: list[_Caller], rows: int) -> int:
        """Move callers from the head of the line into the batch; return its rows. Nobody is passed over."""
        taken = _take_along(batch, self._line, rows, self.limits.max_rows)
        self._rows_in_line -= taken - rows
        return taken

    def _serve(self, compute: Compute, batch: list[_Caller]) -> None:
        import numpy as np  # late: a server without models needs none of it

        began = self._clock()
        try:
            rows = batch[0].rows if len(batch) == 1 else np.concatenate([caller.rows for caller in batch])
            found = _checked(compute(rows), rows)
        except Exception as exc:  # noqa: BLE001 - the network's, which is told to whose rows raised it
            if len(batch) == 1:
                batch[0].error = exc
                return
            half = len(batch) // 2
            self._serve(compute, batch[:half])
            self._serve(compute, batch[half:])
            return
        seconds = self._clock() - began
        with self._changed:
            self.costs.add(len(rows), seconds)
        at = 0
        for caller in batch:
            # A copy where others are beside it: who keeps one answer must not keep all.
            part = found[at : at + len(caller.rows)]
            caller.found = part if len(batch) == 1 else part.copy()
            at += len(caller.rows)


def _take_along(batch: list[_Caller], line: deque[_Caller], rows: int, most: int) -> int:
    while line and rows + len(line[0].rows) <= most and _alike(batch, line[0]):
        batch.append(line.popleft())
        rows += len(batch[-1].rows)
    return rows


def _answer_to(caller: _Caller) -> Array | BaseException:
    answer = caller.found if caller.error is None else caller.error
    assert answer is not None  # noqa: S101 - whoever was served has one or the other
    return answer


def _alike(batch: list[_Caller], other: _Caller) -> bool:
    """Tell whether rows can lie in one array without becoming others: numbers of one type, or texts of any length."""
    ours, theirs = batch[0].rows, other.rows
    same = ours.dtype == theirs.dtype or (ours.dtype.kind == "S" == theirs.dtype.kind)
    return same and ours.shape[1:] == theirs.shape[1:]


def _checked(found: Array, rows: Array) -> Array:
    if len(found) != len(rows):
        raise ValueError(f"{len(rows)} rows were computed and {len(found)} answers came")
    return found


def _overloaded(callers: int, *, retry_after: float) -> UnavailableError:
    message = f"This model has more to do than it can: {callers} requests stand in line. Try again in a moment."
    return UnavailableError(message, code="overloaded", retry_after=retry_after)
