"""A multipart body streamed to disk while it is hashed: memory stays at a few chunks, whatever the file's size.

Knows multipart/form-data (RFC 7578), and nothing of what the file holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from flask import Request

from lmaas_server.errors import InvalidError, MalformedError, TooLargeError
from lmaas_server.http.bodies import check_length, media_type, next_of
from lmaas_server.http.multipart import BrokenOffError, NotMultipartError, Part, Piece, parts_of
from lmaas_server.storage.writeback import STEP, begin_writing

__all__ = ["Upload", "receive"]

_FIELD_LIMIT = 1 << 20
_MULTIPART = "multipart/form-data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One file and the fields beside it; the file lies at `path` until the request is over."""

    path: Path
    filename: str
    size: int
    sha256: str
    fields: dict[str, str]

    @property
    def fingerprint(self) -> bytes:
        """The same for the same fields and file, whatever the boundary was."""
        digest = hashlib.sha256(self.sha256.encode())
        for name, value in sorted({**self.fields, "": self.filename}.items()):
            digest.update(f"{len(name)}:{name}{len(value)}:{value}".encode("utf-8", "surrogatepass"))
        return digest.digest()


@contextmanager
def receive(request: Request, *, limit: int, new_temp: Callable[[], Path]) -> Iterator[Upload]:
    """Stream the body to a temporary file; it is gone when the block ends, unless it was moved away.

    Raises:
        UnsupportedError: The body is not multipart/form-data.
        MalformedError: It is not well-formed, broke off, or has no part `file`.
        TooLargeError: It is over `limit` bytes.
    """
    media_type(request, allowed=(_MULTIPART,))
    boundary = request.mimetype_params.get("boundary")
    if not boundary:
        raise MalformedError("The header `Content-Type` has no boundary.", code="multipart_malformed")
    check_length(request, limit=limit)
    path = new_temp()
    try:
        yield _Parts(path, limit=limit).read(request, boundary.encode("latin-1", "replace"))
    finally:
        path.unlink(missing_ok=True)


class _Parts:
    """What has come so far."""

    def __init__(self, path: Path, *, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._digest = hashlib.sha256()
        self._fields: dict[str, bytearray] = {}
        self._filename: str | None = None
        self._size = 0
        self._begun = 0
        self._into: str | None = None

    def read(self, request: Request, boundary: bytes) -> Upload:
        """Take the whole body in."""
        stream = _Counted(next_of(request), request.content_length, limit=self._limit)
        try:
            with self._path.open("wb") as file:
                for event in parts_of(stream.read, boundary):
                    self._take(event, file)
        except BrokenOffError as exc:
            raise MalformedError(stream.broke_off, code="upload_truncated") from exc
        except NotMultipartError as exc:
            raise MalformedError(f"The multipart body is not well-formed: {exc}.", code="multipart_malformed") from exc
        if self._filename is None:
            message = "The form has no part named `file`; send the dataset as a file in it."
            raise InvalidError(message, code="file_missing", param="file")
        fields = {name: bytes(value).decode("utf-8", "replace") for name, value in self._fields.items()}
        return Upload(
            path=self._path,
            filename=self._filename,
            size=self._size,
            sha256=self._digest.hexdigest(),
            fields=fields,
        )

    def _take(self, event: Part | Piece, file: IO[bytes]) -> None:
        if not isinstance(event, Part):
            if self._into is None:
                file.write(event)
                self._digest.update(event)
                self._size += len(event)
                if self._size - self._begun >= STEP:
                    begin_writing(file.fileno(), self._begun, self._size - self._begun)
                    self._begun = self._size
            else:
                self._add_to_field(self._into, event)
        elif event.filename is None:
            self._into = event.name
            self._fields[event.name] = bytearray()
        else:
            if event.name != "file" or self._filename is not None:
                message = f"The form has a file `{event.name}`; it takes one file, named `file`."
                raise InvalidError(message, code="file_unexpected", param=event.name)
            self._filename, self._into = event.filename, None

    def _add_to_field(self, name: str, data: Piece) -> None:
        field = self._fields[name]
        field += data
        if len(field) > _FIELD_LIMIT:
            message = f"The field `{name}` is over {_FIELD_LIMIT} bytes; only `file` may be long."
            raise TooLargeError(message, code="field_too_large", param=name)


class _Counted:
    """A body read as it comes, up to what was announced and what is allowed."""

    def __init__(self, following: Callable[[int], bytes], announced: int | None, *, limit: int) -> None:
        self._following = following
        self._announced = announced
        self._limit = limit
        self._received = 0

    def read(self) -> bytes:
        """Return the next chunk; empty at the end."""
        left = self._limit + 1 if self._announced is None else self._announced
        chunk = self._following(left - self._received) if left > self._received else b""
        self._received += len(chunk)
        if self._received > self._limit:
            raise TooLargeError(f"The body is over {self._limit} bytes.", code="body_too_large")
        return chunk

    @property
    def broke_off(self) -> str:
        """What to say when the body ended too early."""
        of = "" if self._announced is None else f" of {self._announced} bytes"
        return f"The upload broke off after {self._received}{of}, before its closing boundary; nothing was kept."
