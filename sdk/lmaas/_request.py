"""What a flow may ask for and what it is answered: frozen dataclasses. Knows no socket, no clock and no endpoint.

A *flow* is a generator that yields actions and returns a value. Endpoints yield `Request`; `_retry.py` turns each
into one or more `Attempt`; a driver performs attempts, sleeps and reads, and answers with the classes below.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, TypeVar

ResultT = TypeVar("ResultT")

Query: TypeAlias = tuple[tuple[str, str], ...]
FailureKind: TypeAlias = Literal["connect", "read", "timeout", "deadline", "protocol"]
Progress: TypeAlias = Callable[[int, int], None]

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
CHUNK_BYTES = 1 << 20
CHECKED_BYTES = 1 << 18
"""Read at a time where bytes are only looked at: what a core's cache holds is not fetched from memory again."""


class CallOptions(TypedDict, total=False):
    """What every call takes beside its own arguments.

    Attributes:
        extra_headers: Sent with each attempt of this call; they win over the client's own.
        timeout: Seconds an attempt may go without a byte; None for no limit. Omitted, the client's.
        idempotency_key: Names this piece of work, so that sending it again does it once. Omitted, a fresh one.
    """

    extra_headers: Mapping[str, str]
    timeout: float | None
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class Upload:
    """A file with some fields, sent as multipart/form-data and read from disk as it is sent.

    The boundary comes from the idempotency key, so that every attempt sends the same bytes.
    """

    filename: str
    source: Path | bytes
    size: int
    fields: Query = ()
    on_progress: Progress | None = None

    def boundary(self, key: str) -> str:
        """Return the boundary used under the idempotency key `key`."""
        return f"lmaas-{sha256(key.encode()).hexdigest()[:32]}"

    def head(self, key: str) -> bytes:
        """Return everything that goes before the file's bytes."""
        boundary = self.boundary(key)
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in self.fields
        ]
        filename = self.filename.translate({ord('"'): "%22", ord("\r"): "%0D", ord("\n"): "%0A"})
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        return "".join(parts).encode()

    def tail(self, key: str) -> bytes:
        """Return everything that goes after the file's bytes."""
        return f"\r\n--{self.boundary(key)}--\r\n".encode()

    def length(self, key: str) -> int:
        """Return the length of the whole body in bytes."""
        return len(self.head(key)) + self.size + len(self.tail(key))

    def blocks(self) -> Iterator[bytes]:
        """Yield the file's bytes in blocks of a mebibyte, exactly `size` of them.

        Raises:
            OSError: The file cannot be read, or has shrunk since it was measured.
        """
        if isinstance(self.source, bytes):
            for start in range(0, self.size, CHUNK_BYTES):
                yield self.source[start : start + CHUNK_BYTES]
            return
        left = self.size
        with self.source.open("rb") as file:
            while left:
                block = file.read(min(left, CHUNK_BYTES))
                if not block:
                    raise OSError(f"{self.source} has shrunk while it was sent: {left} of {self.size} bytes are gone")
                left -= len(block)
                yield block


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of a file, sent as it is and read from disk as it is sent."""

    source: Path | bytes
    start: int
    size: int

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes in blocks of a mebibyte, exactly `size` of them.

        Raises:
            OSError: The file cannot be read, or has shrunk since it was measured.
        """
        end = self.start + self.size
        if isinstance(self.source, bytes):
            for start in range(self.start, end, CHUNK_BYTES):
                yield self.source[start : min(start + CHUNK_BYTES, end)]
            return
        left = self.size
        with self.source.open("rb", buffering=0) as file:
            file.seek(self.start)
            while left:
                block = file.read(min(left, CHUNK_BYTES))
                if not block:
                    raise _shrunk(self.source, left)
                left -= len(block)
                yield block

    def feed(self, digest: Any) -> None:
        """Give the bytes to a checksum, through little memory.

        Raises:
            OSError: The file cannot be read, or has shrunk since it was measured.
        """
        if isinstance(self.source, bytes):
            digest.update(memoryview(self.source)[self.start : self.start + self.size])
            return
        left, block = self.size, memoryview(bytearray(min(CHECKED_BYTES, self.size)))
        with self.source.open("rb", buffering=0) as file:
            file.seek(self.start)
            while left:
                count = file.readinto(block[:left])
                if not count:
                    raise _shrunk(self.source, left)
                digest.update(block[:count])
                left -= count


def _shrunk(path: Path, left: int) -> OSError:
    return OSError(f"{path} has shrunk while it was sent: {left} bytes of a part are gone")


Body: TypeAlias = bytes | Upload | Slice


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the API, whatever number of attempts it takes; answered with `Answer` or `TransportError`.

    Where `stream` is set, an answer of 2xx is an `Answer` whose `source` is read by `Read` and closed by `Close`.
    """

    method: str
    path: str
    query: Query = ()
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)
    options: CallOptions = field(default_factory=CallOptions)
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a request, as a driver performs it: headers complete but for the client's own and its key."""

    request: Request
    headers: Mapping[str, str]
    timeout: float | None
    number: int = 0
    key: str | None = None
    time_left: float | None = None
    """Seconds until the call's deadline; an attempt never outlives it."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait; answered with None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Now:
    """Answered with seconds on a clock that never goes back."""


@dataclass(frozen=True, slots=True)
class Compute:
    """Work for the processor, off the loop where there is one; answered with what the function returns."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Together:
    """Run flows beside each other, `at_once` at a time; answered with a list of what they return.

    The first that raises ends the others: those that run are waited for or cancelled, the rest never begin.
    """

    flows: tuple[Generator[Any, Any, Any], ...]
    at_once: int


class Source(Protocol):
    """The open body of a streamed answer; only the driver that made it knows what is inside."""


@dataclass(frozen=True, slots=True)
class Read:
    """Answered with the next bytes of a streamed body, b"" at its end, or a `TransportError`.

    `timeout` is what a driver may wait where it can tell (the async one can; the blocking one waits for the
    attempt's own timeout).
    """

    source: Source
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """Give the connection of a streamed body back; answered with None."""

    source: Source


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said; header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)
    body: bytes = b""
    url: str = ""
    received_at: float = 0.0
    """Unix seconds, to read a Retry-After that is a date."""
    source: Source | None = None
    """The body still to be read, of a streamed answer."""
    uploaded: str | None = None
    """The sha256 of the file's bytes as they were sent."""


@dataclass(frozen=True, slots=True)
class TransportError:
    """Why there is no answer: it never came, came in part, or the deadline was reached."""

    kind: FailureKind
    message: str
    url: str = ""
    cause: BaseException | None = None


Action: TypeAlias = Request | Attempt | Sleep | Now | Read | Close | Compute | Together
Flow: TypeAlias = Generator[Action, Any, ResultT]


def mint_key() -> str:
    """Return a fresh idempotency key."""
    return f"lmaas-{secrets.token_hex(16)}"


def query_of(**parameters: str | float | bool | None) -> Query:
    """Return query parameters without those that are None; booleans as `true` and `false`."""
    return tuple(
        (name, str(value).lower() if isinstance(value, bool) else str(value))
        for name, value in parameters.items()
        if value is not None
    )
