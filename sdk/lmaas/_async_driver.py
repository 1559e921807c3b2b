"""Runs flows on asyncio. Knows no endpoint, no retry rule and no HTTP library.

A file of its own because asyncio takes 40 ms to load, and those who block should not pay for it.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from lmaas._digest import Digest
from lmaas._driver import Driver, Lane, Reply, failure, late
from lmaas._lanes import Lanes, close_with_the_loop
from lmaas._request import (
    Action,
    Answer,
    Attempt,
    Close,
    Compute,
    Flow,
    Now,
    Read,
    ResultT,
    Sleep,
    Slice,
    Source,
    Together,
    TransportError,
)
from lmaas._settings import Settings, Transport

if TYPE_CHECKING:
    from lmaas._httpx import AsyncHttpClient

MAX_OPEN_REQUESTS = 16
"""Of one async client on one loop. More only wait for each other: one loop has one processor."""
MAX_OPEN: Mapping[Transport, int] = {"httpx": MAX_OPEN_REQUESTS, "aiohttp": 256}
"""aiohttp's pool does not slow down, so that requests wait at a slow server, not here; under the usual 1,024 files."""
SUCCESSES = range(200, 300)


@dataclass(slots=True)
class _AsyncOpened:
    """A streamed body, awaited, and the lane it occupies."""

    reply: Reply
    chunks: AsyncIterator[bytes]
    lanes: Lanes
    lane: Lane
    url: str


def _async_opened(source: Source) -> _AsyncOpened:
    if not isinstance(source, _AsyncOpened):
        raise TypeError(f"not a body this driver opened: {source!r}")
    return source


_Loops: TypeAlias = weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Lanes]


async def _sending(digest: Digest | Slice) -> AsyncIterator[bytes]:
    """Yield an upload's bytes; the file is read in a thread, so that a slow disk does not hold up the loop."""
    if isinstance(digest, Slice):
        blocks = digest.blocks()
        while (block := await asyncio.to_thread(next, blocks, None)) is not None:
            yield block
        return
    yield digest.upload.head(digest.key)
    blocks = digest.upload.blocks()
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        yield block
        digest.seen(block)
    yield digest.upload.tail(digest.key)


class AsyncDriver(Driver):
    """Runs flows on the running loop. Each loop gets connections of its own, closed with the loop."""

    def __init__(
        self,
        settings: Settings,
        http: AsyncHttpClient | None = None,
        *,
        max_open: int | None = None,
        transport: Transport = "httpx",
        loops: _Loops | None = None,
        lender: Self | None = None,
    ) -> None:
        super().__init__(settings, lender)
        self._given = http
        self._transport: Transport = transport
        self._max_open = MAX_OPEN[transport] if max_open is None else max_open
        self._loops: _Loops = weakref.WeakKeyDictionary() if loops is None else loops

    def with_settings(self, settings: Settings) -> Self:
        """Return a driver of other settings over the same connections; closing is left to this one."""
        return type(self)(
            settings,
            self._given,
            max_open=self._max_open,
            transport=self._transport,
            loops=self._loops,
            lender=self,
        )

    async def run(self, flow: Flow[ResultT]) -> ResultT:
        """Perform what the flow asks for until it returns."""
        send: Callable[[Any], Action] = flow.send
        reply: Any = None
        while True:
            try:
                action = send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # a StopIteration holds Any
            try:
                reply, send = await self.perform(action), flow.send
            except BaseException as exc:  # noqa: BLE001 - the flow cleans up and lets it pass
                reply, send = exc, flow.throw

    async def perform(self, action: Action) -> Any:
        """Do one thing and return its outcome."""
        match action:
            case Attempt():
                return await self._attempt(action)
            case Sleep():
                await asyncio.sleep(action.seconds)
            case Now():
                return time.monotonic()
            case Read():
                return await self._read(action)
            case Close():
                opened = _async_opened(action.source)
                await opened.reply.aclose()
                opened.lanes.give(opened.lane)
            case Compute():
                return await asyncio.to_thread(action.function)
            case Together():
                return await self._together(action)
            case _:
                raise TypeError(f"a driver performs attempts, not {action!r}")
        return None

    async def _together(self, action: Together) -> list[Any]:
        slots = asyncio.Semaphore(action.at_once)

        async def one(flow: Flow[Any]) -> Any:
            async with slots:
                return await self.run(flow)

        begun = [asyncio.create_task(one(flow)) for flow in action.flows]
        try:
            return await asyncio.gather(*begun)
        finally:
            for task in begun:
                task.cancel()
            await asyncio.gather(*begun, return_exceptions=True)

    async def close(self) -> None:
        """Close the connections of the running loop; those of other loops are closed with them."""
        if self._lender is not None or self._given is not None:
            return
        lanes = self._loops.pop(asyncio.get_running_loop(), None)
        if lanes is not None:
            await lanes.close()

    @property
    def left_open(self) -> bool:
        """Whether connections of our own are still to be closed, on a loop that can still close them."""
        return self._lender is None and any(
            lanes.left_open and not loop.is_closed() for loop, lanes in self._loops.items()
        )

    async def _lanes(self) -> Lanes:
        """Return the connections of the running loop."""
        loop = asyncio.get_running_loop()
        lanes = self._loops.get(loop)
        if lanes is None:
            for closed in [other for other in self._loops if other.is_closed()]:
                del self._loops[closed]
            lanes = self._loops[loop] = Lanes(self.settings.base_url, self._given, self._max_open, self._transport)
            await close_with_the_loop(lanes)
        return lanes

    async def _attempt(self, attempt: Attempt) -> Answer | TransportError:
        lanes = await self._lanes()
        if attempt.request.stream:  # not counted: it stays open for as long as it is read
            return await self._send(attempt, lanes)
        if attempt.time_left is None:
            async with lanes.slots:
                return await self._send(attempt, lanes)
        try:
            async with asyncio.timeout(attempt.time_left), lanes.slots:
                return await self._send(attempt, lanes)
        except TimeoutError:
            return late(self.settings.base_url + attempt.request.path)

    async def _send(self, attempt: Attempt, lanes: Lanes) -> Answer | TransportError:
        lane = lanes.take()
        prepared = self._prepare(attempt, _sending)
        stream = attempt.request.stream
        kept = False
        try:
            reply = await lane.send(prepared, stream=stream)
            if stream and reply.status_code in SUCCESSES:
                source = _AsyncOpened(reply, reply.aiter_bytes(), lanes, lane, prepared.url)
                kept = True
                return self._answer(reply.status_code, reply.headers, b"", prepared, source)
            return self._answer(reply.status_code, reply.headers, await reply.aread(), prepared)
        except Exception as exc:
            if (told := lane.told(exc)) is None:
                raise
            return failure(exc, told, prepared.url)
        finally:
            if not kept:
                lanes.give(lane)

    @staticmethod
    async def _read(read: Read) -> bytes | TransportError:
        opened = _async_opened(read.source)
        try:
            async with asyncio.timeout(read.timeout):
                return await anext(opened.chunks, b"")
        except Exception as exc:
            told = opened.lane.told(exc) or (("timeout", exc) if isinstance(exc, TimeoutError) else None)
            if told is None:
                raise
            return failure(exc, told, opened.url)
