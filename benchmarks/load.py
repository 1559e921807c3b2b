"""A load of one request over and over on keep-alive connections, in its own process. Knows no answer but its status.

    python -m benchmarks.load HOST PORT REQUEST_FILE --connections 16 --seconds 3 [--rate 1000]

Without a rate every connection asks again as soon as it was answered. With one, requests are due at even intervals
and a latency counts from when its request was due, so that a server that stalls cannot hide it by being asked less
(coordinated omission). Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Load", "percentile"]

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length: "
_CHUNK = 1 << 18


def percentile(ordered: list[float], share: float) -> float:
    """Return the value that `share` of a sorted list does not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True, eq=False)
class _Connection:
    socket: socket.socket
    asked: float = 0.0
    received: bytes = b""
    wanted: int = -1
    unsent: memoryview = field(default_factory=lambda: memoryview(b""))


class Load:
    """Connections that ask the same."""

    def __init__(self, address: tuple[str, int], request: bytes, *, connections: int) -> None:
        self._request = request
        self._selector = selectors.DefaultSelector()
        self._idle: deque[_Connection] = deque()
        for _ in range(connections):
            opened = socket.create_connection(address)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setblocking(False)
            connection = _Connection(opened)
            self._selector.register(opened, selectors.EVENT_READ, connection)
            self._idle.append(connection)
        self._latencies: list[float] = []
        self._failures = 0

    def run(self, seconds: float, *, rate: float | None = None) -> dict[str, float]:
        """Ask for so long and return requests per second, latencies in ms, and how many answers were not 200."""
        began = time.perf_counter()
        end, due, step = began + seconds, began, 1 / rate if rate else 0.0
        while (now := time.perf_counter()) < end:
            while self._idle and (not step or due <= now):
                self._ask(self._idle.popleft(), due if step else time.perf_counter())
                due += step
            wait = max(0.0, due - time.perf_counter()) if step and self._idle else 1.0
            for key, _ in self._selector.select(min(wait, end - now)):
                self._on_ready(key.data)
        ordered = sorted(self._latencies)
        return {
            "rate": len(ordered) / seconds,
            "p50": percentile(ordered, 0.5) * 1000,
            "p99": percentile(ordered, 0.99) * 1000,
            "failures": self._failures,
        }

    def _ask(self, connection: _Connection, due: float) -> None:
        connection.asked, connection.wanted, connection.received = due, -1, b""
        connection.unsent = memoryview(self._request)
        self._send(connection)

    def _send(self, connection: _Connection) -> None:
        try:
            sent = connection.socket.send(connection.unsent)
        except BlockingIOError:
            sent = 0
        connection.unsent = connection.unsent[sent:]
        writing = selectors.EVENT_WRITE if connection.unsent else 0
        self._selector.modify(connection.socket, selectors.EVENT_READ | writing, connection)

    def _on_ready(self, connection: _Connection) -> None:
        if connection.unsent:
            self._send(connection)
            return
        connection.received += connection.socket.recv(_CHUNK)
        if connection.wanted < 0 and (end := connection.received.find(_END_OF_HEAD)) >= 0:
            head = connection.received[:end].lower()
            at = head.find(_LENGTH) + len(_LENGTH)
            connection.wanted = end + len(_END_OF_HEAD) + int(head[at:].split(b"\r\n", 1)[0])
        if 0 <= connection.wanted <= len(connection.received):
            self._failures += b" 200 " not in connection.received[:16]
            self._latencies.append(time.perf_counter() - connection.asked)
            self._idle.append(connection)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("request", type=Path)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rate", type=float)
    given = parser.parse_args()
    load = Load((given.host, given.port), given.request.read_bytes(), connections=given.connections)
    print(json.dumps(load.run(given.seconds, rate=given.rate)))


if __name__ == "__main__":
    main()
