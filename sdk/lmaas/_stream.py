"""Streams of the server as context managers and iterators; knows no noun and no meaning of an item.

A flow of items yields, beside the actions of any flow, `Emit` for each item it has ready.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias, TypeVar, cast, overload

from lmaas._driver import warn_left_open
from lmaas._flow import Bound, Core, Described, OwnerT, P, Resource
from lmaas._request import Action, Answer, Close, Request, Source
from lmaas._retry import RetryPolicy, attempts
from lmaas._sync_driver import SyncDriver

if TYPE_CHECKING:
    from lmaas._async_driver import AsyncDriver

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Emit(Generic[ItemT]):
    """An item a flow of items has ready; the only thing it yields that no driver sees."""

    item: ItemT


EmitFlow: TypeAlias = Generator[Action | Emit[ItemT], Any, Any]
"""Yields items as it has them; what it returns, if anything, is what the stream as a whole came to."""


class _Streamed(Generic[ItemT]):
    """What both streams share: the flow, and the body that is open for it."""

    def __init__(self, flow: EmitFlow[ItemT], core: Core) -> None:
        self._flow = flow
        self.core = core
        self._source: Source | None = None
        self._ended = False
        self._result: Any = None

    def __repr__(self) -> str:
        state = "ended" if self._ended else "reading" if self._source is not None else "not yet opened"
        return f"<{type(self).__name__} {state}>"

    def __del__(self) -> None:
        if getattr(self, "_source", None) is not None and not self._ended:
            warn_left_open(repr(self))

    def _note(self, reply: object) -> object:
        if isinstance(reply, Answer) and reply.source is not None:
            self._source = reply.source
        return reply


def emitting(flow: EmitFlow[Any], policy: RetryPolicy) -> EmitFlow[Any]:
    """Run a flow of items with its requests tried as `policy` says."""
    reply: object = None
    while True:
        try:
            action = flow.send(reply)
        except StopIteration as stop:
            return stop.value
        reply = (yield from attempts(action, policy)) if isinstance(action, Request) else (yield action)


class Stream(_Streamed[ItemT]):
    """Items as the server sends them: iterate, best in a `with` block, which gives the connection back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[ItemT]:
        return self

    def __next__(self) -> ItemT:
        if self._ended:
            raise StopIteration
        driver = cast("SyncDriver", self.core.driver)
        reply: object = None
        try:
            while True:
                action = self._flow.send(reply)
                if isinstance(action, Emit):
                    return action.item
                reply = self._note(driver.perform(action))
        except StopIteration as stop:
            self._result = stop.value
            self.close()
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop, and give the connection back; more than once does no harm."""
        self._ended = True
        self._flow.close()
        source, self._source = self._source, None
        if source is not None:
            cast("SyncDriver", self.core.driver).perform(Close(source))


class AsyncStream(_Streamed[ItemT]):
    """Items as the server sends them: iterate with `async for`, best in an `async with` block."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[ItemT]:
        return self

    async def __anext__(self) -> ItemT:
        if self._ended:
            raise StopAsyncIteration
        driver = cast("AsyncDriver", self.core.driver)
        reply: object = None
        try:
            while True:
                action = self._flow.send(reply)
                if isinstance(action, Emit):
                    return action.item
                reply = self._note(await driver.perform(action))
        except StopIteration as stop:
            self._result = stop.value
            await self.aclose()
            raise StopAsyncIteration from None
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Stop, and give the connection back; more than once does no harm."""
        self._ended = True
        self._flow.close()
        source, self._source = self._source, None
        if source is not None:
            await cast("AsyncDriver", self.core.driver).perform(Close(source))


class streaming(Described[OwnerT, P, EmitFlow[ItemT]], Generic[OwnerT, P, ItemT]):  # noqa: N801 - a decorator
    """Make a method that returns a flow of items give a `Stream` on `LMaaS` and an `AsyncStream` on `AsyncLMaaS`."""

    @overload
    def __get__(self, owner: None, kind: Any = None) -> Self: ...
    @overload
    def __get__(self, owner: Resource[SyncDriver], kind: Any = None) -> Callable[P, Stream[ItemT]]: ...
    @overload
    def __get__(self, owner: Resource[AsyncDriver], kind: Any = None) -> Callable[P, AsyncStream[ItemT]]: ...
    def __get__(self, owner: Resource[Any] | None, kind: Any = None) -> Any:
        """Return the method as the owner's driver runs it."""
        if owner is None:
            return self
        core = owner.core
        if core.raw:
            raise TypeError(f"{self.function.__name__}() is a stream, which has no raw response")
        return Bound(self, owner, lambda flow: _stream(flow, core))


def _stream(flow: EmitFlow[Any], core: Core) -> Any:
    flow = emitting(flow, core.policy)
    return Stream(flow, core) if isinstance(core.driver, SyncDriver) else AsyncStream(flow, core)
