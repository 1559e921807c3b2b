"""What both drivers share, and the only file that imports httpx. Knows no endpoint and no retry rule.

A driver performs the actions a flow yields and sends the outcomes back in. What goes wrong on the wire is an outcome
too (`TransportError`); anything else (an interrupt, a cancelled task) is thrown into the flow.
"""

from __future__ import annotations

import logging
import ssl
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, TypeAlias

from lmaas._digest import Digest
from lmaas._redact import redacted_headers, redacted_url
from lmaas._request import (
    Answer,
    Attempt,
    FailureKind,
    Slice,
    Source,
    TransportError,
    Upload,
)
from lmaas._settings import CONNECT_TIMEOUT, Settings
from lmaas._version import __version__

if "httpx" not in sys.modules:
    # httpx imports its command line (click and rich, 60 ms) wherever those are installed; a library has no use for it.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    import httpx

    del sys.modules["httpx._main"]
else:
    import httpx

if find_spec("sniffio") is None:
    # httpcore asks for it ten times a request; a failing import searches the whole path each time (0.25 ms).
    sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]

logger = logging.getLogger("lmaas.http")

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64)
"""Streams hold a connection each for as long as they are read; they must not use up a pool."""
USER_AGENT = f"lmaas-python/{__version__}"

HttpClient: TypeAlias = httpx.Client
AsyncHttpClient: TypeAlias = httpx.AsyncClient
HttpResponse: TypeAlias = httpx.Response


@lru_cache(maxsize=1)
def shared_tls_context() -> ssl.SSLContext:
    """Return the one TLS context of the process: loading the certificates takes longer than all else."""
    return httpx.create_ssl_context()


@lru_cache(maxsize=1)
def _no_tls_context() -> ssl.SSLContext:
    """Return a context that trusts nobody, for clients that speak plain HTTP and would only load certificates."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _context_for(base_url: str) -> ssl.SSLContext:
    return shared_tls_context() if base_url.startswith("https://") else _no_tls_context()


_parsed = lru_cache(maxsize=256)(httpx.URL)
"""Parsing takes a tenth of a call, and the same few paths are called over and over."""


@lru_cache(maxsize=1)
def _defaults() -> dict[str, str]:
    """Return the headers httpx sends of itself, which say what it can decode."""
    with httpx.Client(verify=_no_tls_context(), trust_env=False) as plain:
        return {name: value for name, value in plain.headers.items() if name in {"accept-encoding", "connection"}}


def new_http(base_url: str) -> HttpClient:
    """Return a client for the connections of any number of threads."""
    return httpx.Client(verify=_context_for(base_url), limits=LIMITS)


def new_async_http(base_url: str) -> AsyncHttpClient:
    """Return a client for a single connection."""
    return httpx.AsyncClient(verify=_context_for(base_url), limits=httpx.Limits(max_connections=1))


def new_aiohttp(base_url: str) -> AsyncHttpClient:
    """Return a client for all connections of a loop, by the extra `lmaas[aiohttp]`."""
    from lmaas import _aiohttp

    return _aiohttp.new_client(_context_for(base_url), limits=httpx.Limits(max_connections=_aiohttp.UNLIMITED))


def wire_errors() -> tuple[type[Exception], ...]:
    """Return what goes wrong on the wire, as the transports in use raise it."""
    if "httpx_aiohttp" not in sys.modules:
        return WIRE_ERRORS
    from lmaas._aiohttp import wire_errors as of_aiohttp

    return (*WIRE_ERRORS, *of_aiohttp())


def failure(exc: Exception, url: str) -> TransportError:
    """Return the outcome a transport's exception stands for."""
    kind, shown = _told(exc)
    detail = f"{type(shown).__name__}: {shown}" if str(shown) else type(shown).__name__
    return TransportError(kind, f"{_SAID[kind].format(redacted_url(url))} ({detail})", url, exc)


def late(url: str) -> TransportError:
    """Return the outcome of a call whose deadline has come."""
    return TransportError("deadline", _SAID["deadline"], url)


def _told(exc: Exception) -> tuple[FailureKind, BaseException]:
    """Return what went wrong, and the error that says so best."""
    if "httpx_aiohttp" in sys.modules:
        from lmaas import _aiohttp

        if (told := _aiohttp.told(exc)) is not None:
            return told
    if isinstance(exc, httpx.TimeoutException | TimeoutError):
        return "timeout", exc
    if isinstance(exc, httpx.ConnectError):
        return "connect", exc
    if isinstance(exc, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return "protocol", exc
    return "read", exc


WIRE_ERRORS = (httpx.TransportError, httpx.DecodingError)
_SAID: Mapping[FailureKind, str] = {
    "timeout": "no answer in time",
    "connect": "cannot connect to {}",
    "protocol": "the request cannot be sent",
    "read": "the connection was lost",
    "deadline": "the call's deadline was reached",
}


@dataclass(slots=True)
class Prepared:
    """An attempt as httpx takes it."""

    request: httpx.Request
    digest: Digest | None


def warn_left_open(what: str) -> None:
    """Say that something was dropped without being closed; schedules nothing."""
    warnings.warn(f"unclosed {what}: use it in a with block, or close it", ResourceWarning, stacklevel=3)


class Driver:
    """What both drivers share: how an attempt becomes a request of httpx, and an answer comes out of it."""

    def __init__(self, settings: Settings, lender: object, *, ours: bool) -> None:
        self.ours = ours
        """Whether the HTTP client is one we made, which has no settings but those made here."""
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

    def _prepare(
        self, attempt: Attempt, http: httpx.Client | AsyncHttpClient, send: Callable[[Digest | Slice], Any]
    ) -> Prepared:
        request = attempt.request
        url = self._base_url + request.path
        if request.query:
            url = f"{url}?{httpx.QueryParams(request.query)}"
        headers = {**self._headers, **attempt.headers}
        digest, content = None, request.body
        if isinstance(content, Upload):
            digest = Digest(content, attempt.key or "")
            content = send(digest)
        elif isinstance(content, Slice):
            content = send(content)
        timeout = _timeouts(attempt, stream=request.stream)
        if self.ours:
            # What httpx merges into a request of a client's own is known; merging it anew takes a tenth of a call.
            extensions = {"timeout": timeout.as_dict()}
            headers = {**_defaults(), **headers}
            built = httpx.Request(request.method, _parsed(url), headers=headers, content=content, extensions=extensions)
        else:
            built = http.build_request(request.method, _parsed(url), headers=headers, content=content, timeout=timeout)
        if logger.isEnabledFor(logging.DEBUG):
            # The client's own headers, the key among them, are not in `attempt.headers` and so cannot be shown.
            logger.debug("-> %s %s %s", request.method, redacted_url(url), redacted_headers(attempt.headers))
        return Prepared(built, digest)

    @staticmethod
    def _answer(response: HttpResponse, body: bytes, prepared: Prepared, source: Source | None = None) -> Answer:
        headers: Mapping[str, str] = response.headers
        answer = Answer(
            status=response.status_code,
            headers=dict(headers.items()),  # one pass; looking each up is one for each
            body=body,
            url=str(prepared.request.url),
            received_at=time.time(),
            source=source,
            uploaded=None if prepared.digest is None else prepared.digest.hash.hexdigest(),
        )
        if logger.isEnabledFor(logging.INFO):
            request = prepared.request
            logger.info(
                "%s %s %d (request id %s)",
                request.method,
                redacted_url(answer.url),
                answer.status,
                answer.headers.get("x-request-id", "unknown"),
            )
        return answer


def _timeouts(attempt: Attempt, *, stream: bool) -> httpx.Timeout:
    """Return httpx's timeouts of an attempt: each the attempt's own, none longer than the deadline leaves."""
    limits = [limit for limit in (attempt.timeout, None if stream else attempt.time_left) if limit is not None]
    limit = min(limits) if limits else None
    return httpx.Timeout(limit, connect=CONNECT_TIMEOUT if limit is None else min(CONNECT_TIMEOUT, limit))
