"""The only file that imports httpx: clients, requests and errors of it. Knows no flow and no settings.

Loaded with the first request, not with the first client: it takes longer than all else that a client needs.
"""

from __future__ import annotations

import ssl
import sys
from functools import lru_cache
from importlib.util import find_spec
from typing import TypeAlias

from lmaas._driver import Prepared, Told

if "httpx" not in sys.modules:
    # httpx imports its command line (click and rich, 60 ms) wherever those are installed; a library has no use for it.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # None forbids the import
    import httpx

    del sys.modules["httpx._main"]
else:
    import httpx

if find_spec("sniffio") is None:
    # httpcore asks for it ten times a request; a failing import searches the whole path each time (0.25 ms).
    sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]  # likewise

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64)
"""Streams hold a connection each for as long as they are read; they must not use up a pool."""

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


def request_of(prepared: Prepared, http: HttpClient | AsyncHttpClient, *, ours: bool) -> httpx.Request:
    """Return the request as httpx takes it; `ours` is a client that has no settings but those made here."""
    url, limit = _parsed(prepared.url), prepared.limit
    if ours:
        # What httpx merges into a request of a client's own is known; merging it anew takes a tenth of a call.
        timeout = {"connect": prepared.connect_limit, "read": limit, "write": limit, "pool": limit}
        headers = {**_defaults(), **prepared.headers}
        extensions = {"timeout": timeout}
        return httpx.Request(prepared.method, url, headers=headers, content=prepared.content, extensions=extensions)
    return http.build_request(
        prepared.method,
        url,
        headers=prepared.headers,
        content=prepared.content,
        timeout=httpx.Timeout(limit, connect=prepared.connect_limit),
    )


def told(exc: BaseException) -> Told | None:
    """Return what an error of httpx stands for; None if it is none of the wire."""
    if "aiohttp" in sys.modules:  # a client from outside may have it beneath httpx
        from lmaas import _aiohttp

        if (found := _aiohttp.told(exc)) is not None:
            return found
    if not isinstance(exc, httpx.TransportError | httpx.DecodingError):
        return None
    if isinstance(exc, httpx.TimeoutException):
        return "timeout", exc
    if isinstance(exc, httpx.ConnectError):
        return "connect", exc
    if isinstance(exc, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return "protocol", exc
    return "read", exc


class HttpxLane:
    """A lane that is an httpx client: of a single connection, or one that came from outside."""

    def __init__(self, base_url: str, given: AsyncHttpClient | None = None) -> None:
        self._ours = given is None
        self.http = given or httpx.AsyncClient(verify=_context_for(base_url), limits=httpx.Limits(max_connections=1))

    def __repr__(self) -> str:
        return f"<HttpxLane {self.http!r}>"

    async def send(self, prepared: Prepared, *, stream: bool) -> HttpResponse:
        """Send a request; its body has been read unless it is to be streamed."""
        return await self.http.send(request_of(prepared, self.http, ours=self._ours), stream=stream)

    def told(self, exc: Exception) -> Told | None:
        """Return what an error stands for; None if it is none of the wire."""
        return told(exc)

    async def aclose(self) -> None:
        """Close the connection."""
        await self.http.aclose()
