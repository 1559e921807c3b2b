"""The connections of an async client on one loop, and their end with it. Knows no flow, no request."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from lmaas._driver import Lane
from lmaas._settings import Transport

if TYPE_CHECKING:
    from lmaas._httpx import AsyncHttpClient

TLS_GOODBYE = 0.25
"""Seconds that aiohttp asks for after closing, so that both sides of a TLS connection can say goodbye:
docs.aiohttp.org/en/stable/client_advanced.html#graceful-shutdown. A loop that ends sooner leaves the socket open."""

_guards: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[AsyncGenerator[None]]] = weakref.WeakKeyDictionary()


class Lanes:
    """The connections of one loop, and the cap on requests that are open at once.

    httpx looks at all its connections whenever one is wanted, with a system call each: 200 requests at once spend
    most of their time there. So every connection is a lane, an httpx client of its own, and the one that was free
    last, whose connection is surely open, goes next. An HTTP client that came from outside is the one lane of all, and
    so is one over aiohttp, whose pool is quick.
    """

    def __init__(
        self, base_url: str, given: AsyncHttpClient | None, max_open: int, transport: Transport = "httpx"
    ) -> None:
        self.slots = asyncio.Semaphore(max_open)
        self._base_url = base_url
        self._given = given
        self._shared = given is not None or transport == "aiohttp"
        self._transport = transport
        self._free: list[Lane] = []
        self._made: list[Lane] = []

    def __repr__(self) -> str:
        return f"<Lanes {len(self._free)} of {len(self._made)} free>"

    def take(self) -> Lane:
        """Return a lane nobody is on."""
        if self._shared and self._made:
            return self._made[-1]
        if self._free:
            return self._free.pop()
        self._made.append(self._new())
        return self._made[-1]

    def _new(self) -> Lane:
        if self._transport == "aiohttp":
            from lmaas._aiohttp import AiohttpLane

            if not self._base_url.startswith("https:"):
                return AiohttpLane(self._base_url, None)
            from lmaas._httpx import shared_tls_context

            return AiohttpLane(self._base_url, shared_tls_context())
        from lmaas._httpx import HttpxLane

        return HttpxLane(self._base_url, self._given)

    def give(self, lane: Lane) -> None:
        """Take a lane back."""
        if not self._shared:
            self._free.append(lane)

    @property
    def left_open(self) -> bool:
        """Whether connections of our own are still to be closed."""
        return self._given is None and bool(self._made)

    async def close(self) -> None:
        """Close the connections."""
        made, self._made, self._free = self._made, [], []
        for lane in made:
            await lane.aclose()
        if made and self._transport == "aiohttp" and self._base_url.startswith("https:"):
            await asyncio.sleep(TLS_GOODBYE)


async def close_with_the_loop(lanes: Lanes) -> None:
    """Have the connections closed when the running loop ends."""
    guard = _guard(weakref.ref(lanes))
    _guards.setdefault(asyncio.get_running_loop(), []).append(guard)
    await anext(guard)


async def _guard(lanes: weakref.ref[Lanes]) -> AsyncGenerator[None]:
    """Wait, as a suspended generator, for the loop to shut down its generators; close the connections then.

    asyncio.run does that before it closes the loop, which is the last moment at which connections can be closed.
    """
    try:
        yield
    finally:
        _guards.pop(asyncio.get_running_loop(), None)
        found = lanes()
        if found is not None:
            await found.close()
