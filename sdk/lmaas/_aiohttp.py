"""The extra `lmaas[aiohttp]`: the only file that imports aiohttp. Knows no flow, no settings and nothing of httpx.

aiohttp's pool does not slow down with the requests that are open, and a request that is not first built as one of httpx
takes half the time. What the other transport does is done here too: proxies of the environment, one TLS context of the
process, timeouts by the attempt, no cookies, no redirects.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from io import BytesIO
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from lmaas._driver import Prepared, Told
from lmaas._request import FailureKind

UNLIMITED = 0
"""Connections, as aiohttp has it: how many requests are open is the driver's to say, and streams hold one each."""
KEEP_ALIVE = 5.0
"""Seconds for which an idle connection is kept, as httpx does."""
LARGE_BODY = 1 << 20
"""Bytes above which aiohttp wants a file, which it sends piece by piece."""
CHUNK_BYTES = 1 << 16

KINDS: tuple[tuple[type[Exception], FailureKind], ...] = (
    (aiohttp.ServerTimeoutError, "timeout"),
    (aiohttp.ClientConnectorError, "connect"),
    (aiohttp.NonHttpUrlClientError, "protocol"),
    (aiohttp.InvalidURL, "protocol"),
    (aiohttp.ClientError, "read"),
)

_parsed = lru_cache(maxsize=256)(URL)


@lru_cache(maxsize=64)
def _timeout(limit: float | None, connect_limit: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(connect=limit, sock_connect=connect_limit, sock_read=limit)


def told(exc: BaseException) -> Told | None:
    """Return what an error stands for and aiohttp's own account of it; None if it is none of aiohttp's."""
    for error in (exc, exc.__cause__):
        for known, kind in KINDS:
            if error is not None and isinstance(error, known):
                return kind, error
    return None


def proxy_for(base_url: str) -> str | None:
    """Return the proxy that the environment names for an address, if any."""
    parts = urlsplit(base_url)
    proxies = getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    if not found or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return found if "://" in found else f"http://{found}"


class AiohttpReply:
    """An answer under the names httpx has for it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status_code = response.status

    def __repr__(self) -> str:
        return f"<AiohttpReply {self.status_code}>"

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by name in lower case; those that come twice are joined."""
        headers: dict[str, str] = {}
        for spelt, value in self._response.headers.items():
            name = spelt.lower()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return headers

    async def aread(self) -> bytes:
        """Return the whole body."""
        return await self._response.read()

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        return aiter(self._response.content.iter_chunked(CHUNK_BYTES))

    async def aclose(self) -> None:
        """Give the connection back, or close it if the body was not read to its end."""
        self._response.release()


class AiohttpLane:
    """The lane of all requests of one loop; its pool opens as many connections as are wanted."""

    def __init__(self, base_url: str, context: ssl.SSLContext | None) -> None:
        connector = aiohttp.TCPConnector(ssl=context or True, limit=UNLIMITED, keepalive_timeout=KEEP_ALIVE)
        jar = aiohttp.DummyCookieJar()
        self.session = aiohttp.ClientSession(connector=connector, cookie_jar=jar, proxy=proxy_for(base_url))
        self._named = "@" in urlsplit(base_url).netloc

    def __repr__(self) -> str:
        return f"<AiohttpLane {self.session!r}>"

    async def send(self, prepared: Prepared, *, stream: bool) -> AiohttpReply:  # noqa: ARG002 - no body is read here
        """Send a request and return once the headers of its answer are there."""
        headers, content = prepared.headers, prepared.content
        if self._named:  # the name and password of the URL win, as they do with httpx; aiohttp takes no two
            headers = {name: value for name, value in headers.items() if name != "authorization"}
        response = await self.session.request(
            prepared.method,
            _parsed(prepared.url),
            headers=headers,
            data=BytesIO(content) if isinstance(content, bytes) and len(content) > LARGE_BODY else content,
            timeout=_timeout(prepared.limit, prepared.connect_limit),
            allow_redirects=False,
        )
        return AiohttpReply(response)

    def told(self, exc: Exception) -> Told | None:
        """Return what an error stands for; None if it is none of the wire."""
        return told(exc)

    async def aclose(self) -> None:
        """Close the connections."""
        await self.session.close()
