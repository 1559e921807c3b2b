"""The clients: what they are set to, and how they are opened and closed. The verbs are in `_verbs.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Self, cast

from lmaas._flow import Core, Raw
from lmaas._retry import RetryBudget, RetryPolicy
from lmaas._settings import (
    DEFAULT_TIMEOUT,
    MAX_RETRIES,
    Settings,
    Transport,
    check_limits,
    check_transport,
    configure_logging,
)
from lmaas._sync_driver import SyncDriver
from lmaas._verbs import Verbs

if TYPE_CHECKING:
    from pydantic import SecretStr

    from lmaas._async_driver import AsyncDriver
    from lmaas._httpx import AsyncHttpClient, HttpClient

Unset = EllipsisType


def _core(driver: SyncDriver | AsyncDriver, budget: RetryBudget) -> Core:
    settings = driver.settings
    policy = RetryPolicy(
        max_retries=settings.max_retries, timeout=settings.timeout, deadline=settings.deadline, budget=budget
    )
    return Core(driver, policy)


def _changed(
    settings: Settings,
    *,
    timeout: float | Unset | None,
    deadline: float | Unset | None,
    max_retries: int | Unset,
    extra_headers: Mapping[str, str] | None,
) -> Settings:
    """Return the settings with what was named changed."""
    changed = replace(
        settings,
        timeout=settings.timeout if timeout is ... else timeout,
        deadline=settings.deadline if deadline is ... else deadline,
        max_retries=settings.max_retries if max_retries is ... else max_retries,
        headers={**settings.headers, **(extra_headers or {})},
    )
    check_limits(timeout=changed.timeout, deadline=changed.deadline, max_retries=changed.max_retries)
    return changed


class LMaaS(Verbs[SyncDriver]):
    """The blocking client; threads may share it.

    Args:
        api_key: Omitted, from `LMAAS_API_KEY`; where that is not set either, none is sent.
        base_url: Omitted, from `LMAAS_BASE_URL`, else http://127.0.0.1:8000.
        timeout: Seconds an attempt may go without a byte; None for no limit. Connecting may take 5 s of them.
        deadline: Seconds a call may take in all, attempts and the waits between them; omitted, no limit.
        max_retries: How often a call that failed in passing is tried again.
        extra_headers: Sent with every request.
        http_client: An `httpx.Client` of your own (proxies, hooks, transports); closing it is yours too.

    Use it in a `with` block, or `close()` it.
    """

    def __init__(
        self,
        *,
        api_key: str | SecretStr | None = None,
        base_url: str | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        deadline: float | None = None,
        max_retries: int = MAX_RETRIES,
        extra_headers: Mapping[str, str] | None = None,
        http_client: HttpClient | None = None,
    ) -> None:
        configure_logging()
        settings = Settings.of(
            api_key=api_key,
            base_url=base_url,
            timeout=timeout,
            deadline=deadline,
            max_retries=max_retries,
            headers=extra_headers,
        )
        super().__init__(_core(SyncDriver(settings, http_client), RetryBudget()))

    @property
    def _driver(self) -> SyncDriver:
        return cast("SyncDriver", self.core.driver)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._driver.shown_url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; more than once does no harm."""
        self._driver.close()

    def with_options(
        self,
        *,
        timeout: float | Unset | None = ...,
        deadline: float | Unset | None = ...,
        max_retries: int | Unset = ...,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a client with other settings over the same connections; closing them is left to this one."""
        settings = _changed(
            self._driver.settings,
            timeout=timeout,
            deadline=deadline,
            max_retries=max_retries,
            extra_headers=extra_headers,
        )
        twin = type(self).__new__(type(self))
        twin.core = _core(self._driver.with_settings(settings), self.core.policy.budget)
        return twin

    @property
    def with_raw_response(self) -> Verbs[Raw[SyncDriver]]:
        """The same verbs and nouns, giving status, headers and body beside the value."""
        return Verbs(self.core.as_raw())


class AsyncLMaaS(Verbs["AsyncDriver"]):
    """The async client, for asyncio; it may be used on several event loops, one after the other or at once.

    Args:
        api_key: Omitted, from `LMAAS_API_KEY`; where that is not set either, none is sent.
        base_url: Omitted, from `LMAAS_BASE_URL`, else http://127.0.0.1:8000.
        timeout: Seconds an attempt may go without a byte; None for no limit. Connecting may take 5 s of them.
        deadline: Seconds a call may take in all, attempts and the waits between them; omitted, no limit.
        max_retries: How often a call that failed in passing is tried again.
        extra_headers: Sent with every request.
        http_client: An `httpx.AsyncClient` of your own (proxies, hooks, transports); closing it is yours too.
        transport: What carries the bytes: "httpx", or "aiohttp" for hundreds of calls at once (`lmaas[aiohttp]`).

    Use it in an `async with` block, or await `close()`. Connections also close with the loop they belong to.
    """

    def __init__(
        self,
        *,
        api_key: str | SecretStr | None = None,
        base_url: str | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        deadline: float | None = None,
        max_retries: int = MAX_RETRIES,
        extra_headers: Mapping[str, str] | None = None,
        http_client: AsyncHttpClient | None = None,
        transport: Transport = "httpx",
    ) -> None:
        configure_logging()
        check_transport(transport, given=http_client is not None)
        settings = Settings.of(
            api_key=api_key,
            base_url=base_url,
            timeout=timeout,
            deadline=deadline,
            max_retries=max_retries,
            headers=extra_headers,
        )
        from lmaas._async_driver import AsyncDriver

        super().__init__(_core(AsyncDriver(settings, http_client, transport=transport), RetryBudget()))

    @property
    def _driver(self) -> AsyncDriver:
        return cast("AsyncDriver", self.core.driver)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._driver.shown_url}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections of the running loop; more than once does no harm."""
        await self._driver.close()

    def with_options(
        self,
        *,
        timeout: float | Unset | None = ...,
        deadline: float | Unset | None = ...,
        max_retries: int | Unset = ...,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a client with other settings over the same connections; closing them is left to this one."""
        settings = _changed(
            self._driver.settings,
            timeout=timeout,
            deadline=deadline,
            max_retries=max_retries,
            extra_headers=extra_headers,
        )
        twin = type(self).__new__(type(self))
        twin.core = _core(self._driver.with_settings(settings), self.core.policy.budget)
        return twin

    @property
    def with_raw_response(self) -> Verbs[Raw[AsyncDriver]]:
        """The same verbs and nouns, giving status, headers and body beside the value."""
        return Verbs(self.core.as_raw())
