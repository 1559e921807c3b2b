"""The connections of an async client on one loop, and their end with it. Knows no flow, no request."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator

from lmaas._driver import AsyncHttpClient, new_aiohttp, new_async_http
from lmaas._settings import Transport

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
        self._transport = transport
        self._free: list[AsyncHttpClient] = []
        self._made: list[AsyncHttpClient] = []

    def __repr__(self) -> str:
        return f"<Lanes {len(self._free)} of {len(self._made)} free>"

    def take(self) -> AsyncHttpClient:
        """Return a lane nobody is on."""
        if self._given is not None:
            return self._given
        if self._transport == "aiohttp":
            if not self._made:
                self._made.append(new_aiohttp(self._base_url))
            return self._made[-1]
        if self._free:
            return self._free.pop()
        self._made.append(new_async_http(self._base_url))
        return self._made[-1]

    def give(self, lane: AsyncHttpClient) -> None:
        """Take a lane back."""
        if self._given is None and self._transport == "httpx":
            self._free.append(lane)

    @property
    def left_open(self) -> bool:
        """Whether connections of our own are still to be closed."""
        return bool(self._made)

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
