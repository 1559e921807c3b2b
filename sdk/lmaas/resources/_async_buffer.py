"""A buffer of feedback for the async client: takes items at once and sends them from a task of its own.

Knows no endpoint and no rule of batching. A file of its own, as `_async_driver.py` is: who blocks loads no asyncio.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self, Unpack

from lmaas._driver import warn_left_open
from lmaas._flow import Core
from lmaas.errors import FeedbackBufferError, FeedbackItemError, LMaaSError
from lmaas.resources._buffer import items_for, tell
from lmaas.resources._ids import PredictionRef
from lmaas.resources._outbox import BufferPlan, Outbox, Outcome, delivery, failed
from lmaas.resources._statements import Said
from lmaas.types import FeedbackItem


class AsyncFeedbackBuffer:
    """Takes feedback at once and sends it in batches, in an `async with` block, whose end waits for all of it.

    As `FeedbackBuffer`, with `await send(prediction, labels=...)`, which waits only where there is no room, and
    `await send.flush()`. It belongs to the loop it was first used on, and a loop that ends takes along what was not
    flushed: leave the block, or await `close()`, before.
    """

    def __init__(self, plan: BufferPlan, core: Core) -> None:
        self.core = core
        self._plan = plan
        self._box = Outbox(plan)
        self._wake = asyncio.Event()
        self._progress = asyncio.Condition()
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        box = self._box
        state = f"{len(box.waiting)} waiting, {box.settled} of {box.accepted} settled, {len(box.errors)} errors"
        return f"<{type(self).__name__} {state}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.close()
            return
        try:
            await self.close()
        except FeedbackBufferError as lost:
            error.add_note(str(lost))  # the block's own error goes first, and is not hidden

    def __del__(self) -> None:
        box: Outbox | None = getattr(self, "_box", None)
        if box is not None and (box.waiting or (box.errors and box.plan.on_error is None)):
            warn_left_open(repr(self))

    async def __call__(self, prediction: PredictionRef, **said: Unpack[Said]) -> None:
        """Say about a prediction what `client.feedback` would.

        Args:
            prediction: The prediction or its id.
            **said: labels, ratings, preferred, demonstrations, metric or comments; indices, weight, source, metadata.

        Raises:
            InvalidRequestError: The arguments are wrong; nothing of them was taken.
            FeedbackBufferError: A thousand items could not be stored so far, and nobody was told.
            LMaaSError: The buffer is closed.
        """
        items = items_for(self._plan, prediction, said)
        while items:
            if self._closed:
                raise LMaaSError("the feedback buffer is closed; make another with client.feedback.buffer()")
            if self._box.is_full_of_errors:
                raise FeedbackBufferError(self._box.take_errors(), left=self._box.accepted - self._box.settled)
            room = self._box.room
            if room <= 0:
                async with self._progress:
                    await self._progress.wait_for(lambda: self._box.room > 0)
                continue
            self._box.put(items[:room], self._now())
            items = items[room:]
            self._set_going()

    @property
    def errors(self) -> tuple[FeedbackItemError, ...]:
        """Those of the items that could not be stored and were not raised yet; with `on_error`, the last 1,000."""
        return tuple(self._box.errors)

    async def flush(self) -> None:
        """Send what waits, and return once the fate of everything said so far is known.

        Raises:
            FeedbackBufferError: Some of it could not be stored.
        """
        wanted = self._box.wanted = self._box.accepted
        self._set_going()
        async with self._progress:
            await self._progress.wait_for(lambda: self._box.settled >= wanted)
        if lost := self._box.take_errors():
            raise FeedbackBufferError(lost)

    async def close(self) -> None:
        """Flush, and take nothing more; more than once does no harm.

        Raises:
            FeedbackBufferError: Some items could not be stored.
        """
        self._closed = True
        await self.flush()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _set_going(self) -> None:
        """See to it that someone sends."""
        if (self._worker is None or self._worker.done()) and self._box.waiting:
            self._worker = asyncio.get_running_loop().create_task(self._work(), name="lmaas-feedback")
        self._wake.set()

    async def _work(self) -> None:
        """Send batches as they are due, until nothing waits."""
        while (seconds := self._box.due_in(self._now())) is not None:
            if seconds > 0:
                self._wake.clear()
                try:
                    async with asyncio.timeout(seconds):
                        await self._wake.wait()
                except TimeoutError:
                    pass
                continue
            batch = self._box.take()
            outcomes = await self._delivered(batch)
            tell(self._plan, outcomes)  # first: whoever waits for a flush finds everyone told
            self._box.settle(outcomes)
            async with self._progress:
                self._progress.notify_all()

    async def _delivered(self, batch: list[FeedbackItem]) -> list[Outcome]:
        try:
            outcomes: list[Outcome] = await self.core.run(delivery(batch, self._plan.options))
        except Exception as error:  # noqa: BLE001 - a closed client, a broken transport: the items are named all the same
            return failed(batch, error)
        except asyncio.CancelledError:
            self._box.settle(failed(batch, LMaaSError("the task that sent it was cancelled, the loop being closed")))
            raise
        return outcomes
