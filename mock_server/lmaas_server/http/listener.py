"""A listening socket on a loop: connections are taken, up to a bound, and ended in order. Knows no route."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from lmaas_server.http.exchange import Exchange
from lmaas_server.http.wire import Connection

__all__ = ["Listener"]

_SWEEP_SECONDS = 5.0
_SPARED_SECONDS = 1.0
"""A connection that was used as lately is not ended for another."""
_BREATH_SECONDS = 1.0
"""How long nothing is accepted after that has failed: mostly for want of file descriptors."""


class Listener:
    """Takes connections, one in a turn of the loop, so that another process at the same socket gets its share."""

    def __init__(
        self, listening: socket.socket, answer: Callable[[Exchange], None], *, most: int, ended: Callable[[], None]
    ) -> None:
        """Make one that is not open yet.

        Args:
            listening: What to accept from.
            answer: Called with every request, in the loop's thread.
            most: Connections at once. When all places are taken the one ends that has been idle the longest; where
                none is, more wait to be accepted.
            ended: Called when the last request is answered after `drain`.
        """
        self._listening = listening
        self._answer = answer
        self._most = most
        self._ended = ended
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting = False
        self._draining = False
        self._loop: asyncio.AbstractEventLoop

    def __repr__(self) -> str:
        return f"Listener({len(self._connections)} connections)"

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to accept, from the loop's thread."""
        self._loop = loop
        self._listening.setblocking(False)
        self._resume()
        self._sweep()

    def drain(self) -> None:
        """Accept no more, and end every connection as soon as the request under way on it is answered."""
        self._draining = True
        self._pause()
        self._listening.close()
        for connection in list(self._connections):
            connection.drain()
        self._check_ended()

    def cut(self) -> None:
        """End what connections there still are, whatever is under way."""
        for connection in list(self._connections):
            connection.cut()

    def _resume(self) -> None:
        if not self._accepting and not self._draining and len(self._connections) < self._most:
            self._accepting = True
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            self._loop.remove_reader(self._listening.fileno())

    def _make_room(self) -> None:
        now = self._loop.time()
        longest = max(self._connections, key=lambda connection: connection.idle_seconds(now))
        if longest.idle_seconds(now) > _SPARED_SECONDS:
            longest.drain()

    def _accept(self) -> None:
        try:
            accepted, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another process was quicker, or the client has gone
        except OSError:
            self._pause()
            self._loop.call_later(_BREATH_SECONDS, self._resume)
            return
        connection = Connection(self._loop, self._answer, self._lost)
        self._connections.add(connection)
        if len(self._connections) >= self._most:
            self._pause()
            self._make_room()
        accepted.setblocking(False)
        task = self._loop.create_task(self._connect(connection, accepted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, connection: Connection, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:  # it was gone at once
            accepted.close()
            self._lost(connection)

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._resume()
        self._check_ended()

    def _check_ended(self) -> None:
        if self._draining and not self._connections:
            self._ended()

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in list(self._connections):
            connection.expire(now)
        if len(self._connections) >= self._most:
            self._make_room()
        self._loop.call_later(_SWEEP_SECONDS, self._sweep)
