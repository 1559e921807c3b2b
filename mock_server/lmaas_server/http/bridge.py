"""A WSGI application asked from an event loop: bodies go in and answers go out piece by piece. Knows no route.

The application runs in a thread. What comes of a request's body is held for it up to a bound; then the client waits.
An answer whose length is known goes out whole, a file as fast as its client reads, and every piece of a stream as soon
as it is there.
"""

from __future__ import annotations

import asyncio
import io
import re
import threading
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

from lmaas_server.errors import MalformedError
from lmaas_server.http.exchange import BrokenOffError, ClientGoneError, Exchange
from lmaas_server.http.lane import Application

__all__ = ["Bridge", "Inflow"]

_MOST_HELD = 1 << 20
"""Bytes of one body that wait for the application."""
_ENOUGH = 1 << 18
"""Bytes for which it pays to wake whoever reads: each time costs two threads a fight for the interpreter."""
_RANGE = re.compile(r"bytes (\d+)-(\d+)/")
_BODILESS = {204, 304}


class Inflow(io.BufferedIOBase):
    """A body as the application reads it, filled by the loop once the first read has asked for it.

    Not before: who wrote `Expect: 100-continue` sends nothing to a request that is refused by its head.
    """

    def __init__(self, body: AsyncIterable[bytes], loop: asyncio.AbstractEventLoop) -> None:
        """`body` gives an empty piece where it ends, or one whose length is known breaks off."""
        super().__init__()
        self._body = body
        self._loop = loop
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._wanted = 0
        self._full = False
        self._ended = False
        self._broken = False
        self._room = asyncio.Event()
        self._filling: asyncio.Task[None] | None = None
        self._asked = False

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Wait for so many bytes, or for all, and return them; fewer where the body ends.

        Raises:
            MalformedError: `body_truncated`, it came in chunks and broke off before the last one.
        """
        left = -1 if size is None else size
        pieces: list[bytes] = []
        while left and (piece := self._take(left)):
            pieces.append(piece)
            left -= len(piece) if left > 0 else 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read1(self, size: int = -1, /) -> bytes:
        """Return what comes next, up to so many bytes, as it came; nothing at the end."""
        return self._take(size) if size else b""

    def _take(self, most: int) -> bytes:
        """Wait until a good deal is there, or all of it, and return the first piece, or up to so many bytes of it."""
        with self._changed:
            if not self._asked:
                self._asked = True
                self._loop.call_soon_threadsafe(self._begin)
            if not self._pieces and not self._ended:
                self._wanted = min(most, _ENOUGH) if most > 0 else _ENOUGH
                self._changed.wait_for(lambda: self._ended or self._held >= self._wanted)
                self._wanted = _MOST_HELD << 1
            if not self._pieces:
                if self._broken:
                    raise MalformedError("The body broke off before its last chunk.", code="body_truncated")
                return b""
            piece = self._pieces.popleft()
            if 0 < most < len(piece):
                self._pieces.appendleft(piece[most:])
                piece = piece[:most]
            self._held -= len(piece)
            if self._full and self._held <= _MOST_HELD >> 1:
                self._full = False
                self._loop.call_soon_threadsafe(self._room.set)
        return piece

    def stop(self) -> None:
        """Take no more of the body; from the loop."""
        if self._filling is not None:
            self._filling.cancel()

    def _begin(self) -> None:
        self._filling = self._loop.create_task(self._fill())

    async def _fill(self) -> None:
        try:
            async for piece in self._body:
                if not piece:  # the end, or where it broke off: its reader knows the length
                    break
                with self._changed:
                    self._pieces.append(piece)
                    self._held += len(piece)
                    if self._held >= self._wanted:
                        self._changed.notify()
                    self._full = self._held >= _MOST_HELD
                    full = self._full
                    self._room.clear()
                if full:
                    await self._room.wait()
        except BrokenOffError:
            self._broken = True
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()


class Bridge:
    """One request on its way through the application and back."""

    def __init__(self, exchange: Exchange, loop: asyncio.AbstractEventLoop) -> None:
        self._exchange = exchange
        self._inflow = Inflow(exchange, loop)
        self._environ = exchange.head.environ(exchange.address, self._inflow)
        self._environ["wsgi.file_wrapper"] = self._wrapped
        self._status = 500
        self._headers: list[tuple[str, str]] = []
        self._file: Path | None = None

    def run(self, application: Application) -> None:
        """Ask the application and send what it says; in a thread, until all of it is sent or nobody listens."""
        pieces = application(self._environ, self._start)
        try:
            with suppress(ClientGoneError):
                self._send(pieces)
        finally:
            if (close := getattr(pieces, "close", None)) is not None:
                close()

    def end(self) -> None:
        """Let go of what is left of the request; from the loop."""
        self._inflow.stop()

    def _start(self, status: str, headers: list[tuple[str, str]], _: object = None) -> Callable[[bytes], None]:
        self._status = int(status[:3])
        self._headers = [(name.lower(), value) for name, value in headers]
        return _refuse_write

    def _wrapped(self, file: IO[bytes], size: int = 8192) -> Iterable[bytes]:
        """Remember which file is sent: it is read at the speed of the client, and none of it is held."""
        from werkzeug.wsgi import FileWrapper

        self._file = Path(file.name)
        return FileWrapper(file, size)

    def _send(self, pieces: Iterable[bytes]) -> None:
        status, headers, exchange = self._status, self._headers, self._exchange
        known = dict(headers)
        if exchange.head.method == "HEAD" or status in _BODILESS:
            exchange.answer(status, headers)
        elif self._file is not None and status in {200, 206}:
            exchange.answer_file(status, headers, self._file, _part(known.get("content-range")))
        elif "content-length" in known:
            exchange.answer(status, headers, b"".join(pieces))
        else:
            exchange.begin(status, headers)
            for piece in pieces:
                exchange.send(piece)
            exchange.finish()


def _part(said: str | None) -> tuple[int, int] | None:
    """Return where the part of a file begins and ends; None of a whole one."""
    if said is None:
        return None
    found = _RANGE.match(said)
    assert found is not None  # noqa: S101 - our own header
    first, last = (int(number) for number in found.groups())
    return first, last + 1


def _refuse_write(_: bytes) -> None:
    raise NotImplementedError("an application gives its pieces back, it does not write them")
