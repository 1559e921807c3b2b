"""Reading a request's body: bounded, complete, of the right content type. Knows no route."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flask import Request

from lmaas_server.errors import MalformedError, TooLargeError, UnsupportedError
from lmaas_server.http.validation import validate_json

__all__ = ["JSON_TYPE", "NPY_TYPE", "check_length", "media_type", "next_of", "read_bytes", "read_json", "stream_blocks"]

JSON_TYPE = "application/json"
NPY_TYPE = "application/x-npy"
_MAX_DIGITS = 18
_MOST = 1 << 20
"""Bytes of a body handled at a time, where they have come."""


def media_type(request: Request, *, allowed: tuple[str, ...]) -> str:
    """Return the request's content type, one of `allowed`.

    Raises:
        UnsupportedError: It is another, or the body is compressed.
    """
    encoding = request.environ.get("HTTP_CONTENT_ENCODING", "identity").lower()
    if encoding == "identity" and (plain := request.environ.get("CONTENT_TYPE")) in allowed:
        return str(plain)
    given = request.mimetype or "none"
    if encoding != "identity":
        message = f"A body with `Content-Encoding: {encoding}` is not read here; send it as it is."
        raise UnsupportedError(message, code="content_encoding_unsupported")
    if given in allowed:
        return given
    if JSON_TYPE in allowed and given.startswith("application/") and given.endswith("+json"):
        return JSON_TYPE
    wanted = " or ".join(f"`{kind}`" for kind in allowed)
    message = f"The body's content type is {given}; send the header `Content-Type` with {wanted}."
    raise UnsupportedError(message, code="content_type_unsupported")


def check_length(request: Request, *, limit: int) -> None:
    """Refuse a body that announces more than `limit` bytes, before reading any of it."""
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(request.content_length, limit)


def read_bytes(request: Request, *, limit: int) -> bytes:
    """Return the whole body.

    Raises:
        TooLargeError: It is longer than `limit`, whatever it announced.
        MalformedError: It ended before its announced length.
    """
    announced = _announced(request)
    if announced is not None and announced > limit:
        raise _too_large(announced, limit)
    stream = request.environ["wsgi.input"]
    if announced is None:
        chunked = request.environ.get("wsgi.input_terminated", False)
        body: bytes = stream.read(limit + 1) if chunked else b""
        if len(body) > limit:
            raise _too_large(len(body), limit)
        return body
    body = stream.read(announced)
    if len(body) != announced:
        message = f"The body broke off: {len(body)} bytes came of the {announced} announced."
        raise MalformedError(message, code="body_truncated")
    return body


def stream_blocks(request: Request, *, limit: int) -> Iterator[bytes]:
    """Yield the body as it comes, no longer than announced; whether it came whole is for the reader to tell.

    Raises:
        TooLargeError: It announces more than `limit`.
        MalformedError: It does not announce its length.
    """
    if request.content_length is None:
        message = "The header `Content-Length` is missing; a body that is streamed to the disk announces its length."
        raise MalformedError(message, code="length_missing")
    check_length(request, limit=limit)
    return _blocks(next_of(request), request.content_length)


def next_of(request: Request) -> Callable[[int], bytes]:
    """Return what reads the next bytes of the body, up to so many; in the pieces they came in, where they are told."""
    stream = request.environ["wsgi.input"]
    read: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
    return lambda most: read(min(most, _MOST))


def _blocks(read: Callable[[int], bytes], left: int) -> Iterator[bytes]:
    while left and (block := read(left)):
        left -= len(block)
        yield block


def read_json(request: Request, kind: Any, *, limit: int) -> tuple[Any, bytes]:
    """Return the body as an instance of `kind`, and its bytes."""
    media_type(request, allowed=(JSON_TYPE,))
    raw = read_bytes(request, limit=limit)
    return validate_json(kind, raw), raw


def _announced(request: Request) -> int | None:
    """Return `request.content_length`, without asking werkzeug where it is said plainly."""
    said = request.environ.get("CONTENT_LENGTH", "")
    plain = said.isdecimal() and said.isascii() and len(said) <= _MAX_DIGITS
    return int(said) if plain and "HTTP_TRANSFER_ENCODING" not in request.environ else request.content_length


def _too_large(size: int, limit: int) -> TooLargeError:
    message = f"The body has {size} bytes or more; this path takes at most {limit} ({limit / 2**20:.0f} MiB)."
    return TooLargeError(message, code="body_too_large")
