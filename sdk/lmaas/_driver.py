"""What both drivers share. Knows no endpoint, no retry rule and no HTTP library: `_httpx.py` and `_aiohttp.py` do.

A driver performs the actions a flow yields and sends the outcomes back in. What goes wrong on the wire is an outcome
too (`TransportError`); anything else (an interrupt, a cancelled task) is thrown into the flow.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlencode

from lmaas._digest import Digest
from lmaas._redact import redacted_headers, redacted_url
from lmaas._request import Answer, Attempt, FailureKind, Slice, Source, TransportError, Upload
from lmaas._settings import CONNECT_TIMEOUT, Settings
from lmaas._version import __version__

logger = logging.getLogger("lmaas.http")

USER_AGENT = f"lmaas-python/{__version__}"

Told: TypeAlias = tuple[FailureKind, BaseException]
"""What went wrong on the wire, and the error that says so best."""
_SAID: Mapping[FailureKind, str] = {
    "timeout": "no answer in time",
    "connect": "cannot connect to {}",
    "protocol": "the request cannot be sent",
    "read": "the connection was lost",
    "deadline": "the call's deadline was reached",
}


@dataclass(slots=True)
class Prepared:
    """An attempt as any HTTP library takes it."""

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | Iterable[bytes] | AsyncIterable[bytes] | None
    limit: float | None
    """Seconds it may go without a byte."""
    connect_limit: float
    """Seconds until it must be connected."""
    digest: Digest | None


class Reply(Protocol):
    """What a lane answers, under the names httpx has for it."""

    @property
    def status_code(self) -> int:
        """The status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by name in lower case."""
        ...

    async def aread(self) -> bytes:
        """Return the whole body."""
        ...

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        ...

    async def aclose(self) -> None:
        """Give the connection back."""
        ...


class Lane(Protocol):
    """What carries the requests of an async client: one connection, or a pool of its own."""

    async def send(self, prepared: Prepared, *, stream: bool) -> Reply:
        """Send a request and return what has come of its answer: with `stream` no more than the headers."""
        ...

    def told(self, exc: Exception) -> Told | None:
        """Return what an error stands for; None if it is none of the wire."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


def failure(exc: Exception, told: Told, url: str) -> TransportError:
    """Return the outcome a transport's exception stands for."""
    kind, shown = told
    detail = f"{type(shown).__name__}: {shown}" if str(shown) else type(shown).__name__
    return TransportError(kind, f"{_SAID[kind].format(redacted_url(url))} ({detail})", url, exc)


def late(url: str) -> TransportError:
    """Return the outcome of a call whose deadline has come."""
    return TransportError("deadline", _SAID["deadline"], url)


def warn_left_open(what: str) -> None:
    """Say that something was dropped without being closed; schedules nothing."""
    warnings.warn(f"unclosed {what}: use it in a with block, or close it", ResourceWarning, stacklevel=3)


class Driver:
    """What both drivers share: how an attempt becomes a request, and an answer comes out of what is replied."""

    def __init__(self, settings: Settings, lender: object) -> None:
        headers = {"accept": "application/json", "user-agent": USER_AGENT}
        if settings.api_key is not None:
            headers["authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
        self._headers = headers | {name.lower(): value for name, value in settings.headers.items()}
        self._base_url = settings.base_url
        self.settings = settings
        self._lender = lender
        """The driver whose connections these are, if they are not our own."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shown_url}>"

    def __del__(self) -> None:
        if self.left_open and not sys.is_finalizing():  # then nothing can be imported, and the process ends anyway
            warn_left_open(f"client of {self.shown_url}")

    @property
    def left_open(self) -> bool:
        """Whether connections of our own have been opened and not closed."""
        return False

    @property
    def shown_url(self) -> str:
        """The base URL without secrets, for people to read."""
        return redacted_url(self._base_url)

    def _prepare(self, attempt: Attempt, send: Callable[[Digest | Slice], Any]) -> Prepared:
        request = attempt.request
        url = self._base_url + request.path
        if request.query:
            url = f"{url}?{urlencode(request.query)}"
        digest, content = None, request.body
        if isinstance(content, Upload):
            digest = Digest(content, attempt.key or "")
            content = send(digest)
        elif isinstance(content, Slice):
            content = send(content)
        if logger.isEnabledFor(logging.DEBUG):
            # The client's own headers, the key among them, are not in `attempt.headers` and so cannot be shown.
            logger.debug("-> %s %s %s", request.method, redacted_url(url), redacted_headers(attempt.headers))
        limit = _limit(attempt)
        connect_limit = CONNECT_TIMEOUT if limit is None else min(CONNECT_TIMEOUT, limit)
        headers = {**self._headers, **attempt.headers}
        return Prepared(request.method, url, headers, content, limit, connect_limit, digest)

    @staticmethod
    def _answer(
        status: int, headers: Mapping[str, str], body: bytes, prepared: Prepared, source: Source | None = None
    ) -> Answer:
        answer = Answer(
            status=status,
            headers=dict(headers.items()),  # one pass; looking each up is one for each
            body=body,
            url=prepared.url,
            received_at=time.time(),
            source=source,
            uploaded=None if prepared.digest is None else prepared.digest.hash.hexdigest(),
        )
        if logger.isEnabledFor(logging.INFO):
            logger.info(
                "%s %s %d (request id %s)",
                prepared.method,
                redacted_url(answer.url),
                answer.status,
                answer.headers.get("x-request-id", "unknown"),
            )
        return answer


def _limit(attempt: Attempt) -> float | None:
    """Return how long an attempt may go without a byte: its own timeout, no longer than the deadline leaves."""
    left = None if attempt.request.stream else attempt.time_left
    if left is None or attempt.timeout is None:
        return attempt.timeout if left is None else left
    return min(left, attempt.timeout)
