"""`Idempotency-Key`: the same request twice is done once and answered twice. Knows no noun.

The first answer is stored beside its key and the fingerprint of its body. Stored are answers of requests that did
something or failed for good; one that may succeed in a moment (429, 503, any other 5xx) is forgotten, so that the
next attempt does the work. Keys belong to the caller and the path: two callers never meet in one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any, Protocol

from flask import Request

from lmaas_server.errors import MalformedError
from lmaas_server.http.operation import Answer

__all__ = ["REPLAYED", "Idempotency", "fingerprint_of", "request_key_of"]

REPLAYED = {"idempotent-replayed": "true"}
_NOT_STORED = {429, *range(500, 600)}
_WELL_FORMED = re.compile(r"[\x21-\x7e]{1,255}")


class AnswerStore(Protocol):
    """Where answers are kept: `storage.idempotency`."""

    def begin(self, key: str, fingerprint: str, now: float) -> Any:
        """Claim the key; an earlier answer if there is one, ConflictError if it is another's or still at work."""

    def finish(self, key: str, status: int, headers: dict[str, str], body: bytes) -> None:
        """Store the answer."""

    def abandon(self, key: str) -> None:
        """Forget the key; the next attempt does the work."""


class Idempotency:
    """Does a request once for each key."""

    def __init__(self, store: AnswerStore, *, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def __repr__(self) -> str:
        return f"Idempotency({self._store!r})"

    def answer(self, key: str, fingerprint: str, do: Callable[[], Answer]) -> Answer:
        """Return the stored answer, or do the work and store what came of it.

        `do` returns an answer also where the request failed; an exception forgets the key.
        """
        begun = self._store.begin(key, fingerprint, self._clock())
        if (status := getattr(begun, "status", None)) is not None:
            return Answer(body=begun.body, status=status, headers={**begun.headers, **REPLAYED})
        try:
            answer = do()
        except BaseException:
            self._store.abandon(key)
            raise
        if answer.status in _NOT_STORED or answer.headers.get("x-should-retry") == "true":
            self._store.abandon(key)
        else:
            self._store.finish(key, answer.status, dict(answer.headers), answer.body)
        return answer


def request_key_of(request: Request, caller: str) -> str | None:
    """Return the caller's key, tied to caller, method and path; None without the header.

    Raises:
        MalformedError: The header is empty, over 255 characters or not plain ASCII.
    """
    given = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if given is None:
        return None
    if not _WELL_FORMED.fullmatch(given):
        message = "The header `Idempotency-Key` takes 1 to 255 visible ASCII characters; a UUID is a good one."
        raise MalformedError(message, code="idempotency_key_invalid", param="Idempotency-Key")
    scoped = f"{caller}\0{request.method}\0{request.path}\0{given}"
    return hashlib.sha256(scoped.encode("utf-8", "surrogatepass")).hexdigest()


def fingerprint_of(request: Request, body: bytes) -> str:
    """Return a hash of what the request asks: its query and its body."""
    digest = hashlib.sha256(request.query_string)
    digest.update(b"\0")
    digest.update(body)
    return digest.hexdigest()
