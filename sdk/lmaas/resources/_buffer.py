"""A buffer of feedback for the blocking client: takes items at once and sends them from a thread of its own.

Knows no endpoint and no rule of batching. The thread lives as long as there is something to send. It is no daemon: a
program that ends waits for what it has said, also where it forgot to close the buffer.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from threading import Condition, Thread, current_thread, main_thread
from types import TracebackType
from typing import TYPE_CHECKING, Self, Unpack

from lmaas._driver import warn_left_open
from lmaas._flow import Core
from lmaas._request import mint_key
from lmaas.errors import FeedbackBufferError, FeedbackItemError, LMaaSError
from lmaas.resources._ids import PredictionRef
from lmaas.resources._outbox import BufferPlan, Outbox, Outcome, delivery, failed
from lmaas.resources._statements import Said, items_said

if TYPE_CHECKING:
    from lmaas.types import FeedbackItem

logger = logging.getLogger("lmaas.feedback")


def items_for(plan: BufferPlan, prediction: PredictionRef, said: Said) -> list[FeedbackItem]:
    """Return what a call of a buffer says; the buffer's source speaks where the call names none."""
    if plan.source is not None and said.get("source") is None:
        said = {**said, "source": plan.source}
    return items_said(prediction, said, key=mint_key())


def tell(plan: BufferPlan, outcomes: Sequence[Outcome]) -> None:
    """Call the function that wants to know of errors; what it raises is logged, for it must not stop the sending."""
    if plan.on_error is None:
        return
    for outcome in outcomes:
        if isinstance(outcome, FeedbackItemError):
            try:
                plan.on_error(outcome)
            except Exception:
                logger.exception("on_error of a feedback buffer has raised; it was told: %s", outcome)


class FeedbackBuffer:
    """Takes feedback at once and sends it in batches; best in a `with` block, whose end waits for all of it.

    `send(prediction, labels=...)` takes what `client.feedback` takes and returns as soon as it is in memory; only where
    `max_waiting` items are on their way does it wait for room. A batch goes when it has `max_items`, or when its oldest
    item is `max_age` seconds old. Threads may share a buffer; a process that was forked makes its own.

    Items that could not be stored are not lost silently: `flush`, `close` and the end of the block raise
    `FeedbackBufferError` with one error for each, or `on_error` is called as they come and `errors` keeps the last.
    """

    def __init__(self, plan: BufferPlan, core: Core) -> None:
        self.core = core
        self._plan = plan
        self._box = Outbox(plan)
        self._changed = Condition()
        self._worker: Thread | None = None
        self._process = os.getpid()
        self._closed = False

    def __repr__(self) -> str:
        box = self._box
        state = f"{len(box.waiting)} waiting, {box.settled} of {box.accepted} settled, {len(box.errors)} errors"
        return f"<{type(self).__name__} {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except FeedbackBufferError as lost:
            error.add_note(str(lost))  # the block's own error goes first, and is not hidden

    def __del__(self) -> None:
        box: Outbox | None = getattr(self, "_box", None)
        if box is not None and box.errors and box.plan.on_error is None and self._process == os.getpid():
            warn_left_open(repr(self))

    def __call__(self, prediction: PredictionRef, **said: Unpack[Said]) -> None:
        """Say about a prediction what `client.feedback` would.

        Args:
            prediction: The prediction or its id.
            **said: labels, ratings, preferred, demonstrations, metric or comments; indices, weight, source, metadata.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing of them was taken.
            FeedbackBufferError: A thousand items could not be stored so far, and nobody was told.
            LMaaSError: The buffer is closed, or belongs to the process this one was forked from.
        """
        items = items_for(self._plan, prediction, said)
        self._check_own()
        is_worker = current_thread() is self._worker
        with self._changed:
            while items:
                if self._closed and not is_worker:
                    raise LMaaSError("the feedback buffer is closed; make another with client.feedback.buffer()")
                if self._box.is_full_of_errors:
                    raise FeedbackBufferError(self._box.take_errors(), left=self._box.accepted - self._box.settled)
                # Whoever is called back speaks from the sending thread, which must not wait for itself.
                room = len(items) if is_worker else self._box.room
                if room <= 0:
                    self._changed.wait()
                    continue
                self._box.put(items[:room], time.monotonic())
                items = items[room:]
                self._set_going()

    @property
    def errors(self) -> tuple[FeedbackItemError, ...]:
        """Those of the items that could not be stored and were not raised yet; with `on_error`, the last 1,000."""
        return tuple(self._box.errors)

    def flush(self) -> None:
        """Send what waits, and return once the fate of everything said so far is known.

        Raises:
            FeedbackBufferError: Some of it could not be stored.
            LMaaSError: The buffer belongs to the process this one was forked from.
        """
        self._check_own()
        with self._changed:
            wanted = self._box.wanted = self._box.accepted
            self._set_going()
            while self._box.settled < wanted:
                self._changed.wait()
            lost = self._box.take_errors()
        if lost:
            raise FeedbackBufferError(lost)

    def close(self) -> None:
        """Flush, and take nothing more; more than once does no harm.

        In a process that was forked it does nothing: the other one sends what it was told.

        Raises:
            FeedbackBufferError: Some items could not be stored.
        """
        if self._process == os.getpid():
            self._closed = True
            self.flush()
            while self._box.settled < self._box.accepted:  # what `on_error` has said again meanwhile
                self.flush()

    def _check_own(self) -> None:
        # Before the lock is touched: a fork copies it in whatever state it is.
        if self._process != os.getpid():
            message = f"this feedback buffer belongs to process {self._process}, which sends what was said there"
            raise LMaaSError(f"{message}; make another in process {os.getpid()}, with a client of its own")

    def _set_going(self) -> None:
        """See to it that someone sends; the lock is held."""
        if self._worker is None and self._box.waiting:
            self._worker = Thread(target=self._work, name="lmaas-feedback", daemon=False)
            self._worker.start()
        self._changed.notify_all()

    def _work(self) -> None:
        """Send batches as they are due, until nothing waits."""
        while (batch := self._next_batch()) is not None:
            outcomes = self._delivered(batch)
            tell(self._plan, outcomes)  # first: whoever waits for a flush finds everyone told
            with self._changed:
                self._box.settle(outcomes)
                self._changed.notify_all()

    def _next_batch(self) -> list[FeedbackItem] | None:
        with self._changed:
            while (seconds := self._box.due_in(time.monotonic())) is not None:
                if seconds <= 0 or not main_thread().is_alive():
                    return self._box.take()
                self._changed.wait(seconds)
            self._worker = None
            if self._box.errors and not main_thread().is_alive():
                logger.error("%s", FeedbackBufferError(self._box.errors))  # the program is over, and nobody will ask
            return None

    def _delivered(self, batch: list[FeedbackItem]) -> list[Outcome]:
        try:
            outcomes: list[Outcome] = self.core.run(delivery(batch, self._plan.options))
        except Exception as error:  # noqa: BLE001 - a closed client, a broken transport: the items are named all the same
            return failed(batch, error)
        return outcomes
