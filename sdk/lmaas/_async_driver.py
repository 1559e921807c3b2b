"""Runs flows on asyncio. Knows no endpoint and no retry rule, and httpx only by what `_driver.py` hands on.

A file of its own because asyncio takes 40 ms to load, and those who block should not pay for it.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from lmaas._driver import (
    WIRE_ERRORS,
    AsyncHttpClient,
    Digest,
    Driver,
    HttpResponse,
    Prepared,
    failure,
    late,
    new_async_http,
)
from lmaas._request import (
    Action,
    Answer,
    Attempt,
    Close,
    Flow,
    Now,
    Read,
    ResultT,
    Sleep,
    Source,
    TransportError,
)
from lmaas._settings import Settings

MAX_OPEN_REQUESTS = 10
"""Of one async client on one loop: httpx's pool is at its best there, and collapses far above it."""


@dataclass(slots=True)
class _AsyncOpened:
    """A streamed body, awaited."""

    response: HttpResponse
    chunks: AsyncIterator[bytes]


def _async_opened(source: Source) -> _AsyncOpened:
    if not isinstance(source, _AsyncOpened):
        raise TypeError(f"not a body this driver opened: {source!r}")
    return source


@dataclass(slots=True)
class _Pool:
    """The connections of one loop, and the cap on requests that are open at once."""

    http: AsyncHttpClient
    slots: asyncio.Semaphore


_Pools: TypeAlias = weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool]

_guards: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[AsyncGenerator[None]]] = weakref.WeakKeyDictionary()


async def _close_with_the_loop(http: weakref.ref[AsyncHttpClient]) -> AsyncGenerator[None]:
    """Wait, as a suspended generator, for the loop to shut down its generators; close the connections then.

    asyncio.run does that before it closes the loop, which is the last moment at which connections can be closed.
    """
    try:
        yield
    finally:
        client = http()
        if client is not None:
            await client.aclose()


async def _sending(digest: Digest) -> AsyncIterator[bytes]:
    """Yield an upload's bytes; the file is read in a thread, so that a slow disk does not hold up the loop."""
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
        max_open: int = MAX_OPEN_REQUESTS,
        pools: _Pools | None = None,
        lender: Self | None = None,
    ) -> None:
        super().__init__(settings, lender)
        self._given = http
        self._max_open = max_open
        self._pools: _Pools = weakref.WeakKeyDictionary() if pools is None else pools

    def with_settings(self, settings: Settings) -> Self:
        """Return a driver of other settings over the same connections; closing is left to this one."""
        return type(self)(settings, self._given, max_open=self._max_open, pools=self._pools, lender=self)

    async def run(self, flow: Flow[ResultT]) -> ResultT:
        """Perform what the flow asks for until it returns."""
        send: Callable[[Any], Action] = flow.send
        reply: Any = None
        while True:
            try:
                action = send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
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
                return await asyncio.sleep(action.seconds)
            case Now():
                return time.monotonic()
            case Read():
                return await self._read(action)
            case Close():
                return await _async_opened(action.source).response.aclose()
            case _:
                raise TypeError(f"a driver performs attempts, not {action!r}")

    async def close(self) -> None:
        """Close the connections of the running loop; those of other loops are closed with them."""
        if self._lender is not None or self._given is not None:
            return
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.http.aclose()

    @property
    def left_open(self) -> bool:
        """Whether connections of our own are still to be closed, on a loop that can still close them."""
        if self._lender is not None or self._given is not None:
            return False
        return any(not loop.is_closed() and not pool.http.is_closed for loop, pool in self._pools.items())

    async def _pool(self) -> _Pool:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            http = self._given or new_async_http(self.settings.base_url)
            pool = self._pools[loop] = _Pool(http, asyncio.Semaphore(self._max_open))
            if http is not self._given:
                guard = _close_with_the_loop(weakref.ref(http))
                await anext(guard)
                _guards.setdefault(loop, []).append(guard)
        return pool

    async def _attempt(self, attempt: Attempt) -> Answer | TransportError:
        pool = await self._pool()
        prepared = self._prepare(attempt, pool.http, _sending)
        url = str(prepared.request.url)
        limit = None if attempt.request.stream else attempt.time_left
        try:
            async with asyncio.timeout(limit):
                async with pool.slots:
                    return await self._send(pool.http, prepared, stream=attempt.request.stream)
        except WIRE_ERRORS as exc:
            return failure(exc, url)
        except TimeoutError:
            return late(url)

    async def _send(self, http: AsyncHttpClient, prepared: Prepared, *, stream: bool) -> Answer:
        response = await http.send(prepared.request, stream=stream)
        if stream and response.is_success:
            return self._answer(response, b"", prepared, _AsyncOpened(response, response.aiter_bytes()))
        return self._answer(response, await response.aread(), prepared)

    @staticmethod
    async def _read(read: Read) -> bytes | TransportError:
        opened = _async_opened(read.source)
        try:
            async with asyncio.timeout(read.timeout):
                return await anext(opened.chunks, b"")
        except (*WIRE_ERRORS, TimeoutError) as exc:
            return failure(exc, str(opened.response.url))
