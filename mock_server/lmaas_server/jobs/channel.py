"""JSON, a line each, over a socket; knows none of the messages."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

import orjson

Json = dict[str, Any]
_SIZE = 65_536


class Channel:
    """One end of a stream socket. Any thread may send; one thread receives."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        self._buffer = bytearray()

    def __repr__(self) -> str:
        return f"Channel(fd={self._socket.fileno()})"

    def send(self, value: Json) -> bool:
        """Send a value; False if nobody is at the other end any more."""
        line = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)
        with self._lock:
            try:
                self._socket.sendall(line)
            except OSError:
                return False
        return True

    def receive(self, *, wait: bool = True) -> Json | None:
        """Return the next value; None if there is none yet and `wait` is False.

        A line that is no JSON is skipped: whoever wrote it was killed in the middle of it.

        Raises:
            EOFError: The other end is closed.
        """
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if found:
                self._buffer = rest
                try:
                    return dict(orjson.loads(line))
                except ValueError:
                    continue
            try:
                data = self._socket.recv(_SIZE, 0 if wait else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            except OSError as exc:
                raise EOFError from exc
            if not data:
                raise EOFError
            self._buffer += data

    def close(self) -> None:
        """Close this end; who receives at it gets an EOFError."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
