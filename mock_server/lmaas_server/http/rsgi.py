"""What granian hands over with each request and takes back, by its RSGI interface; and the same request as WSGI has it.

https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md
"""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Protocol

from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined] # it is public, and not said to be

__all__ = ["HTTPProtocol", "Headers", "ProtocolClosed", "Scope", "Transport", "environ_of"]


class Headers(Protocol):
    """Names in small letters; what is no ASCII is left out."""

    def items(self) -> list[tuple[str, str]]:
        """Every header in the order it came; a name may come again."""


class Scope(Protocol):
    """The head of a request."""

    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    """Decoded."""
    query_string: str
    headers: Headers


class Transport(Protocol):
    """Where the body of an answer goes, piece by piece."""

    def send_bytes(self, data: bytes) -> Awaitable[None]:
        """Put a piece into a queue without a bound; awaiting it tells whether the client is still there."""


class HTTPProtocol(Protocol):
    """The body of a request, and the way back. Answers may be given from any thread."""

    def __call__(self) -> Awaitable[bytes]:
        """The whole body; raises ProtocolClosed where it breaks off."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The body as it comes; an empty piece where it ends or breaks off."""

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Answer without a body."""

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Answer."""

    def response_file(self, status: int, headers: list[tuple[str, str]], file: str) -> None:
        """Answer with a file, read as fast as the client takes it."""

    def response_file_range(self, status: int, headers: list[tuple[str, str]], file: str, start: int, end: int) -> None:
        """The same with a part of it; `end` is not in it."""

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> Transport:
        """Begin an answer whose body is to come."""


def environ_of(scope: Scope, body: io.IOBase) -> dict[str, Any]:
    """Return a request as PEP 3333 wants it."""
    host, _, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        # Bytes of UTF-8, one to a character.
        "PATH_INFO": scope.path if scope.path.isascii() else scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host.strip("[]"),
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": body,
        # Whoever reads to the end gets what was sent, however it was framed.
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        variable = _variable(name)
        known = environ.get(variable)
        environ[variable] = value if known is None else f"{known},{value}"
    return environ


@functools.lru_cache(maxsize=256)
def _variable(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"
