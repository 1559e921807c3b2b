"""One request on a connection: its body as it comes, and the way back. Knows no route.

The body is for the loop's thread, as a whole or piece by piece; what is ahead of its reader is bounded, and beyond that
the client waits. An answer may be given from any thread: whole, as a file, or in pieces.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any, Protocol

from lmaas_server.http.heads import Address, Head

__all__ = ["BrokenOffError", "ClientGoneError", "Exchange", "Line", "Pairs"]

Pairs = Sequence[tuple[str, str]]
"""The fields of an answer, in small letters."""

_MOST_HELD = 1 << 20
"""Bytes of a body that wait for its reader."""
_BLOCK = 1 << 18
"""Bytes of a file that are read at once."""
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_NO_BODY = {204, 304}


class ClientGoneError(Exception):
    """Nobody listens any more."""


class BrokenOffError(Exception):
    """A body in chunks ended before its last one; of others the announced length tells."""


class Line(Protocol):
    """The connection below an exchange; all but `gone` and `thread` are for the loop's thread."""

    loop: asyncio.AbstractEventLoop
    address: Address
    thread: int
    """The loop's."""
    gone: bool
    """The client has gone, or the connection was cut."""
    closes: bool
    """It ends with this exchange."""

    @property
    def abounds(self) -> bool:
        """More of the body is to come than is worth waiting for."""

    def hold(self, *, back: bool) -> None:
        """Read no more for now, or go on."""

    def write(self, data: bytes) -> None:
        """Send."""

    async def drained(self) -> None:
        """Wait until most of what was written has been sent."""

    def over(self) -> None:
        """The answer has been written: go on with the next request, or end."""

    def cut(self) -> None:
        """End at once, whatever is under way."""

    def date(self) -> str:
        """The moment, as HTTP writes it."""


class Exchange:
    """A request and its answer."""

    __slots__ = (
        *("ended", "head", "_answered", "_begun", "_broken", "_chunked", "_held"),
        *("_invites", "_line", "_pieces", "_waiter", "_whole"),
    )

    def __init__(self, head: Head, line: Line) -> None:
        self.head = head
        self.ended = not head.has_body
        """All of the body has come, or no more will."""
        self._line = line
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._whole: Callable[[bytes], None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        # Who wrote `Expect: 100-continue` sends nothing before it is asked for.
        self._invites = head.variables.get("HTTP_EXPECT", "").lower() == "100-continue"
        self._begun = self._answered = self._broken = self._chunked = False

    def __repr__(self) -> str:
        return f"Exchange({self.head.method} {self.head.path})"

    @property
    def address(self) -> Address:
        """Both ends of the connection."""
        return self._line.address

    # The body, from the loop.

    def when_whole(self, then: Callable[[bytes], None]) -> None:
        """Have `then` called with the body once it is there; what came of it, where it breaks off."""
        self._invite()
        if self.ended:
            then(b"".join(self._pieces))
        else:
            self._whole = then

    def __aiter__(self) -> Exchange:
        return self

    async def __anext__(self) -> bytes:
        """Return what comes next; nothing where the body ends, or one whose length is known breaks off.

        Raises:
            BrokenOffError: One in chunks did.
        """
        if not self._pieces and not self.ended:
            self._invite()
            self._waiter = self._line.loop.create_future()
            await self._waiter
        if not self._pieces:
            if self._broken:
                raise BrokenOffError
            return b""
        piece = self._pieces.popleft()
        self._held -= len(piece)
        if self._held < _MOST_HELD:
            self._line.hold(back=False)
        return piece

    def came(self, piece: bytes) -> None:
        """Take a part of the body."""
        if self._answered:
            return
        self._pieces.append(piece)
        self._held += len(piece)
        if self._whole is None and self._held >= _MOST_HELD:
            self._line.hold(back=True)
        self._wake()

    def end(self, *, whole: bool = True) -> None:
        """Take no more: all of the body has come, or no more will."""
        if self.ended:
            return
        self.ended = True
        self._broken = self.head.chunked and not whole
        self._wake()
        if self._whole is not None and not self._answered:
            then, self._whole = self._whole, None
            then(self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _invite(self) -> None:
        if self._invites and not self._begun and not self.ended and not self._pieces:
            self._invites = False
            self._line.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # The answer, from any thread.

    def answer(self, status: int, headers: Pairs, body: bytes = b"") -> None:
        """Answer as a whole."""
        self._in_loop(self._answer, status, headers, body)

    def answer_file(self, status: int, headers: Pairs, file: Path, part: tuple[int, int] | None = None) -> None:
        """Answer with a file, or with its bytes from the first of `part` to before the second.

        It is read as fast as the client takes it.
        """
        self._in_loop(self._answer_file, status, headers, file, part)

    def begin(self, status: int, headers: Pairs) -> None:
        """Begin an answer whose body is to come: `send` its pieces, and `finish`."""
        self._in_loop(self._begin, status, headers)

    def send(self, piece: bytes) -> None:
        """Send a piece; those that the client is slow to take wait in memory.

        Raises:
            ClientGoneError: Nobody listens.
        """
        if self._line.gone:
            raise ClientGoneError
        if piece:
            self._in_loop(self._send, piece)

    def finish(self) -> None:
        """End the answer that was begun."""
        self._in_loop(self._finish)

    def fail(self) -> None:
        """Say that nothing will come: by an answer of status 500, or by cutting the connection if one has begun."""
        self._in_loop(self._fail)

    def _in_loop(self, do: Callable[..., None], *given: Any) -> None:
        if threading.get_ident() == self._line.thread:
            do(*given)
        elif not self._line.gone:
            self._line.loop.call_soon_threadsafe(do, *given)

    def _answer(self, status: int, headers: Pairs, body: bytes) -> None:
        if self._begun:
            return
        bodiless = self.head.method == "HEAD" or status in _NO_BODY
        head = self._head(status, headers, None if bodiless else len(body))
        self._line.write(head if bodiless else head + body)
        self._over()

    def _begin(self, status: int, headers: Pairs) -> None:
        if not self._begun:
            self._chunked = self.head.version == "1.1"
            self._line.closes |= not self._chunked
            more = [("transfer-encoding", "chunked")] if self._chunked else []
            self._line.write(self._head(status, [*headers, *more], None))

    def _send(self, piece: bytes) -> None:
        if not self._answered:
            self._line.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)

    def _finish(self) -> None:
        if not self._answered:
            if self._chunked:
                self._line.write(b"0\r\n\r\n")
            self._over()

    def _fail(self) -> None:
        if not self._begun:
            self._line.closes = True
            self._answer(500, [("content-type", "text/plain")], b"Internal Server Error")
        elif not self._answered:
            self._answered = True
            self._line.cut()

    def _answer_file(self, status: int, headers: Pairs, path: Path, part: tuple[int, int] | None) -> None:
        try:
            file = path.open("rb")
        except OSError:
            self._fail()
            return
        start, end = part or (0, path.stat().st_size)
        self._line.write(self._head(status, headers, end - start))
        sending = self._line.loop.create_task(self._send_file(file, start, end))
        sending.add_done_callback(self._sent)

    def _sent(self, sending: asyncio.Task[None]) -> None:
        if sending.cancelled() or sending.exception() is not None:
            self._fail()
        else:
            self._over()

    async def _send_file(self, file: IO[bytes], at: int, end: int) -> None:
        loop = self._line.loop
        with file:
            file.seek(at)
            while at < end:
                if self._line.gone:
                    raise ClientGoneError
                block = await loop.run_in_executor(None, file.read, min(end - at, _BLOCK))
                if not block:
                    raise EOFError
                at += len(block)
                self._line.write(block)
                await self._line.drained()

    def _head(self, status: int, headers: Pairs, length: int | None) -> bytes:
        """Return the head of the answer, and note that it has begun."""
        self._begun = True
        line = self._line
        # What was not asked for may never come, and nothing behind it could be told from it.
        line.closes |= not self.ended and (self._invites or line.abounds)
        lines = [f"HTTP/1.1 {status} {_PHRASES.get(status, '')}", *[f"{name}: {value}" for name, value in headers]]
        if length is not None and "content-length" not in dict(headers):
            lines.append(f"content-length: {length}")
        lines.append(f"date: {line.date()}")
        if line.closes:
            lines.append("connection: close")
        elif self.head.version == "1.0":
            lines.append("connection: keep-alive")
        text = "\r\n".join(lines)
        if text.count("\n") != len(lines) - 1:
            raise ValueError("a field of an answer holds the end of a line")
        return text.encode("latin-1") + b"\r\n\r\n"

    def _over(self) -> None:
        self._answered = True
        self._pieces.clear()
        self._line.over()
