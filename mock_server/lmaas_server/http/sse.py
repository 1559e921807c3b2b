"""Server-sent events: a stream that follows something until it ends. Knows no noun.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from flask import Response

from lmaas_server.errors import InvalidError, UnavailableError

__all__ = ["DONE", "KEEP_ALIVE_SECONDS", "Message", "Streams", "last_event_of"]

KEEP_ALIVE_SECONDS = 15.0
DONE = b"data: [DONE]\n\n"
_COMMENT = b": keep-alive\n\n"
# A follower looks up this often whether the server is stopping.
_SLICE_SECONDS = 1.0
_MAX_SEQ_DIGITS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One event."""

    id: str
    event: str
    data: bytes

    @property
    def encoded(self) -> bytes:
        """The event as it goes over the wire."""
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (self.id.encode(), self.event.encode(), self.data)


More = Callable[[float], tuple[Sequence[Message], bool]]
"""Wait up to so many seconds for messages; returns them and whether these were the last."""


class Streams:
    """A bounded number of open streams: each holds a thread, and threads are for everybody."""

    def __init__(self, limit: int, *, is_draining: Callable[[], bool]) -> None:
        self._limit = limit
        self._open = 0
        self._lock = threading.Lock()
        self._is_draining = is_draining

    def __repr__(self) -> str:
        return f"Streams({self._open} of {self._limit} open)"

    @property
    def open(self) -> int:
        """How many streams are open."""
        return self._open

    def respond(self, more: More, *, closed: Callable[[], None] | None = None) -> Response:
        """Return a response that sends what `more` gives until it says that this was all.

        `closed` is called when nobody reads any more, be it for that reason or another.

        Raises:
            UnavailableError: All streams are taken.
        """
        with self._lock:
            if self._open >= self._limit:
                message = f"All {self._limit} event streams are taken; poll the list instead, or try again later."
                raise UnavailableError(message, code="streams_exhausted", retry_after=5.0)
            self._open += 1
        body = _Body(self._events(more), lambda: self._release(closed))
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return Response(body, content_type="text/event-stream; charset=utf-8", headers=headers)

    def _release(self, closed: Callable[[], None] | None) -> None:
        with self._lock:
            self._open -= 1
        if closed is not None:
            closed()

    def _events(self, more: More) -> Iterator[bytes]:
        silent = 0.0
        while not self._is_draining():
            messages, last = more(_SLICE_SECONDS)
            if messages:
                silent = 0.0
                yield b"".join(message.encoded for message in messages)
            elif not last:
                silent += _SLICE_SECONDS
                if silent >= KEEP_ALIVE_SECONDS:
                    silent = 0.0
                    yield _COMMENT
            if last:
                yield DONE
                return


def last_event_of(header: str | None, whose: str) -> int:
    """Read `Last-Event-ID`: the number of an event of `whose`; 0 where there is none.

    Raises:
        InvalidError: `invalid_value`.
    """
    number = header or "0"
    if not number.isascii() or not number.isdigit() or len(number) > _MAX_SEQ_DIGITS:
        message = f"The header `Last-Event-ID` is the number of an event of {whose}, not {number[:40]!r}."
        raise InvalidError(message, code="invalid_value", param="Last-Event-ID")
    return int(number)


class _Body:
    """The chunks of a stream; releases its place once, also if the server never asks for a chunk."""

    def __init__(self, chunks: Iterator[bytes], release: Callable[[], None]) -> None:
        self._chunks = chunks
        self._release: Callable[[], None] | None = release

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the place back."""
        release, self._release = self._release, None
        if release is not None:
            release()
