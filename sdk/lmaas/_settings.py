"""What a client is set to, from its arguments and the environment; knows no transport."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Self, TypeAlias, get_args

from lmaas.errors import InvalidRequestError

if TYPE_CHECKING:
    from pydantic import SecretStr

DEFAULT_BASE_URL = "http://127.0.0.1:8000"
DEFAULT_TIMEOUT = 60.0
CONNECT_TIMEOUT = 5.0
MAX_RETRIES = 2
Transport: TypeAlias = Literal["httpx", "aiohttp"]
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO}

logger = logging.getLogger("lmaas")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One client's settings; the key shows as `**********` wherever it is printed."""

    base_url: str
    api_key: SecretStr | None
    timeout: float | None = DEFAULT_TIMEOUT
    deadline: float | None = None
    max_retries: int = MAX_RETRIES
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(
        cls,
        *,
        api_key: str | SecretStr | None,
        base_url: str | None,
        timeout: float | None,
        deadline: float | None,
        max_retries: int,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Return settings in which what the caller left out comes from the environment, and all is checked."""
        key = api_key if api_key is not None else os.environ.get("LMAAS_API_KEY") or None
        url = (base_url or os.environ.get("LMAAS_BASE_URL") or DEFAULT_BASE_URL).rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise InvalidRequestError(f"base_url must begin with http:// or https://, not {url!r}", param="base_url")
        check_limits(timeout=timeout, deadline=deadline, max_retries=max_retries)
        return cls(
            base_url=url,
            api_key=_secret(key) if isinstance(key, str) else key,
            timeout=timeout,
            deadline=deadline,
            max_retries=max_retries,
            headers=dict(headers or {}),
        )


def _secret(key: str) -> SecretStr:
    from pydantic import SecretStr

    return SecretStr(key)


def check_limits(*, timeout: float | None, deadline: float | None, max_retries: int) -> None:
    """Raise InvalidRequestError for a limit that makes no sense."""
    for name, seconds in (("timeout", timeout), ("deadline", deadline)):
        if seconds is not None and not seconds > 0:
            raise InvalidRequestError(f"{name} must be above 0 seconds, or None for no limit: {seconds}", param=name)
    if max_retries < 0:
        raise InvalidRequestError(f"max_retries must be 0 or more: {max_retries}", param="max_retries")


def check_transport(transport: Transport, *, given: bool) -> None:
    """Raise InvalidRequestError for a transport that is not known, not installed, or not wanted beside a client."""
    if transport not in get_args(Transport):
        raise InvalidRequestError(
            f"there is no transport {transport!r}; there is {' and '.join(get_args(Transport))}", param="transport"
        )
    if transport == "aiohttp" and given:
        raise InvalidRequestError(
            "http_client brings its own transport; leave transport out, or http_client", param="transport"
        )
    if transport == "aiohttp" and find_spec("aiohttp") is None:
        raise InvalidRequestError(
            "transport='aiohttp' needs the extra: pip install 'lmaas[aiohttp]'", param="transport"
        )


def configure_logging() -> None:
    """Write the client's log to stderr if `LMAAS_LOG` is debug or info; otherwise leave logging to the program."""
    level = LEVELS.get(os.environ.get("LMAAS_LOG", "").lower())
    if level is None or logger.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("[%(asctime)s %(name)s %(levelname)s] %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level)
