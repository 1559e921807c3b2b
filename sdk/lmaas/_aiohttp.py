"""The extra `lmaas[aiohttp]`: an httpx client whose bytes aiohttp carries. Knows no flow and no settings.

httpx keeps what it does for a caller (proxies from the environment, TLS, timeouts); only the connections are aiohttp's,
whose pool does not slow down with the requests that are open. The mount is httpx-aiohttp's. What is added here: its
table of errors calls a refused or a lost connection a timeout, and lets some errors of aiohttp through as they are.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from lmaas._request import FailureKind

if TYPE_CHECKING:
    from httpx_aiohttp import HttpxAiohttpClient

UNLIMITED = 0
"""Connections, as aiohttp has it: how many requests are open is the driver's to say, and streams hold one each."""


def new_client(context: ssl.SSLContext, *, limits: Any) -> HttpxAiohttpClient:
    """Return a client for all connections of one loop; `limits` are httpx's, which one file alone names."""
    from httpx_aiohttp import HttpxAiohttpClient

    return HttpxAiohttpClient(verify=context, limits=limits)


def wire_errors() -> tuple[type[Exception], ...]:
    """Return what aiohttp raises that httpx-aiohttp does not translate."""
    from aiohttp import ClientError

    return (ClientError,)


def told(exc: BaseException) -> tuple[FailureKind, BaseException] | None:
    """Return what an error stands for and aiohttp's own account of it; None if it is none of aiohttp's."""
    import aiohttp

    kinds: tuple[tuple[type[Exception], FailureKind], ...] = (
        (aiohttp.ServerTimeoutError, "timeout"),
        (aiohttp.ClientConnectorError, "connect"),
        (aiohttp.NonHttpUrlClientError, "protocol"),
        (aiohttp.InvalidURL, "protocol"),
        (aiohttp.ClientError, "read"),
    )
    for error in (exc, exc.__cause__):
        for known, kind in kinds:
            if error is not None and isinstance(error, known):
                return kind, error
    return None
