"""HTTP/1.1 on one connection, in the loop's thread: requests one after the other, whatever comes ahead. Knows no route.

What the socket has brought is a request in the same turn of the loop: nothing is handed to another thread, which would
wait for the interpreter (`docs/adr/0014-our-own-wire.md`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

from lmaas_server.http.chunks import BadChunkError, Chunks
from lmaas_server.http.exchange import Exchange
from lmaas_server.http.heads import MOST_HEAD, Address, BadHeadError, head_of

__all__ = ["Connection"]

_MOST_AHEAD = 1 << 16
"""Bytes of the next requests that wait in memory for the answer to this one, or of a body that nobody reads."""
_HEAD_SECONDS = 30.0
_IDLE_SECONDS = 75.0
_LINGER_SECONDS = 2.0
"""How long what a client still sends is thrown away after an answer, so that it sees the answer and no reset."""


class Connection(asyncio.Protocol):
    """A client's connection."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, answer: Callable[[Exchange], None], lost: Callable[[Connection], None]
    ) -> None:
        """`answer` is called with every request whose head has come, `lost` when the connection is no more."""
        self.loop = loop
        self.thread = threading.get_ident()
        self.address = Address("", "", "")
        self.gone = False
        self.closes = False
        self._answer = answer
        self._lost = lost
        self._exchange: Exchange | None = None
        self._ahead = b""
        self._left = 0
        """Bytes of the body that are to come, where it announced its length."""
        self._chunks: Chunks | None = None
        self._since = loop.time()
        self._ended = False
        """The client sends no more."""
        self._lingers = False
        self._held_back = False
        self._reads = True
        self._taking = False
        self._room: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport

    def __repr__(self) -> str:
        return f"Connection({self.address.client}, {self._exchange!r})"

    # Called by the loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        here, there = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        if here and there:
            self.address = Address(str(here[0]), str(here[1]), str(there[0]))

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self._lingers:
            return
        if self._ahead:
            data, self._ahead = self._ahead + data, b""
        elif self._exchange is None:
            self._since = self.loop.time()
        self._take(data)

    def eof_received(self) -> bool:
        """Take note that the client sends no more; it may still listen."""
        self._ended = True
        if self._lingers or self._exchange is None:
            return False
        if not self._exchange.ended:
            self.closes = True
            self._left, self._chunks = 0, None
            self._exchange.end(whole=False)
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever it was, nobody is there
        """End."""
        self.gone = True
        self.resume_writing()
        if self._exchange is not None:
            self._exchange.end(whole=False)
        self._lost(self)

    def pause_writing(self) -> None:
        """Take note that the client is slow: it is read no more, or its next requests would fill the memory."""
        self._room = self._room or self.loop.create_future()
        self._read_or_wait()

    def resume_writing(self) -> None:
        """Take note that it has caught up."""
        if self._room is not None:
            self._room.set_result(None)
            self._room = None
            self._read_or_wait()

    # Called by the exchange.

    @property
    def abounds(self) -> bool:
        """More of the body is to come than is worth waiting for."""
        return self._chunks is not None or self._left > _MOST_AHEAD

    def hold(self, *, back: bool) -> None:
        """Read no more for now, or go on."""
        self._held_back = back
        self._read_or_wait()

    def write(self, data: bytes) -> None:
        """Send."""
        if not self.gone:
            self._transport.write(data)

    async def drained(self) -> None:
        """Wait until most of what was written has been sent."""
        if self._room is not None:
            await asyncio.shield(self._room)

    def over(self) -> None:
        """Go on with the next request, or end."""
        exchange, self._exchange = self._exchange, None
        if self.gone or exchange is None:
            return
        if self.closes:
            self._linger(whole=exchange.ended)
            return
        self._since = self.loop.time()
        self.hold(back=False)
        if not self._taking:
            data, self._ahead = self._ahead, b""
            self._take(data)

    def cut(self) -> None:
        """End at once, whatever is under way."""
        if not self.gone:
            self._transport.abort()

    def date(self) -> str:
        """The moment, as HTTP writes it."""
        return _date()

    # Called by the server.

    def drain(self) -> None:
        """End as soon as the request under way is answered."""
        self.closes = True
        if self._exchange is None:
            self._transport.close()

    def idle_seconds(self, now: float) -> float:
        """Return for how long nobody has asked anything; 0 while somebody does."""
        return now - self._since if self._exchange is None and not self._ahead else 0.0

    def expire(self, now: float) -> None:
        """End if nothing has come for long: in the middle of a head, or between two requests."""
        if self._exchange is None and now - self._since > (_HEAD_SECONDS if self._ahead else _IDLE_SECONDS):
            self._transport.close()

    def _read_or_wait(self) -> None:
        reads = not self._held_back and self._room is None
        if reads != self._reads and not self._transport.is_closing():
            self._reads = reads
            if reads:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    # What comes.

    def _take(self, data: bytes) -> None:
        self._taking = True
        try:
            while data and not self._lingers:
                if self._left or self._chunks is not None:
                    data = self._take_body(data)
                elif self._exchange is None:
                    data = self._take_head(data)
                else:
                    self._ahead = data
                    self.hold(back=len(data) > _MOST_AHEAD)
                    return
        except BadHeadError as exc:
            self._refuse(exc.status, str(exc))
        except BadChunkError:
            self._break_off()
        finally:
            self._taking = False
        if self._ended and self._exchange is None and not self._lingers:
            self._transport.close()

    def _take_head(self, data: bytes) -> bytes:
        data = data.removeprefix(b"\r\n")  # some send an empty line after a body
        end = data.find(b"\r\n\r\n")
        if max(end, len(data) if end < 0 else 0) > MOST_HEAD:
            raise BadHeadError(431, f"the head is longer than {MOST_HEAD} bytes")
        if end < 0:
            self._ahead = data
            return b""
        head = head_of(data[:end])
        self.closes |= not head.keeps
        self._left = head.length or 0
        self._chunks = Chunks() if head.chunked else None
        self._exchange = Exchange(head, self)
        self._answer(self._exchange)
        return data[end + 4 :]

    def _take_body(self, data: bytes) -> bytes:
        exchange = self._exchange
        if self._chunks is not None:
            pieces, data = self._chunks.feed(data)
            ended = self._chunks.ended
            if ended:
                self._chunks = None
        else:
            piece, data = (data, b"") if len(data) <= self._left else (data[: self._left], data[self._left :])
            self._left -= len(piece)
            pieces, ended = [piece], not self._left
        if exchange is not None:
            for piece in pieces:
                exchange.came(piece)
            if ended:
                exchange.end()
        return data

    def _refuse(self, status: int, reason: str) -> None:
        """Answer what is no request, and end."""
        body = f"{reason}\n".encode()
        about = f"content-type: text/plain\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.write(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{about}".encode() + body)
        self._linger(whole=False)

    def _break_off(self) -> None:
        """End a body that is no body: whoever reads it sees it cut short."""
        self.closes = True
        self._chunks = None
        if self._exchange is not None:
            self._exchange.end(whole=False)

    def _linger(self, *, whole: bool) -> None:
        """End, once the client has seen the answer; what it still sends is thrown away for a while."""
        self._lingers = True
        self._ahead = b""
        if whole or self._ended:
            self._transport.close()
            return
        self.hold(back=False)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self._transport.close)


_written: tuple[int, str] = (0, "")


def _date() -> str:
    """Return the moment as HTTP writes it, once a second anew."""
    global _written  # noqa: PLW0603 - the same for all connections
    now = int(time.time())
    if now != _written[0]:
        _written = now, formatdate(now, usegmt=True)
    return _written[1]
