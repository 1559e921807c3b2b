"""Lists of the server as iterables that fetch page after page; knows no noun.

A `Listing` describes a list and is the same for both clients; `Items` and `AsyncItems` are what callers get of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, overload

from lmaas import types
from lmaas._flow import Bound, Core, Described, OwnerT, P, Raw, RawResponse, Resource, call
from lmaas._request import CallOptions, Flow, Query, Request, query_of
from lmaas._sync_driver import SyncDriver
from lmaas.errors import InvalidRequestError, LMaaSError

if TYPE_CHECKING:
    from lmaas._async_driver import AsyncDriver

ItemT = TypeVar("ItemT")

MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Listing(Generic[ItemT]):
    """A list on the server, described: where it is and what is in it."""

    path: str
    kind: type[types.Page[ItemT]]
    query: Query
    options: CallOptions

    def page(self, after: str | None = None) -> Flow[types.Page[ItemT]]:
        """Return the page that begins after the id `after`; omitted, the first."""
        query = self.query
        if after is not None:
            query = (*(pair for pair in query if pair[0] != "after"), ("after", after))
        return call(Request("GET", self.path, query, options=self.options), self.kind)

    def following(self, page: types.Page[ItemT], before: str | None) -> str | None:
        """Return the id after which the next page begins, or None if `page`, which began after `before`, was the last.

        Raises:
            LMaaSError: The server leads round in a circle.
        """
        if not page.has_more or not page.data:
            return None
        after = page.last_id or cast("str | None", getattr(page.data[-1], "id", None))
        if after is not None and after == before:
            raise LMaaSError(f"GET {self.path} goes round in a circle: the page after {after!r} ends there again")
        return after


def list_query(*, after: str | None, limit: int | None, order: str | None, **filters: str | bool | None) -> Query:
    """Return the query of a list; wrong values are refused before anything is sent."""
    if limit is not None and not 1 <= limit <= MAX_PAGE:
        raise InvalidRequestError(f"limit is the size of a page, 1 to {MAX_PAGE}: {limit}", param="limit")
    if order not in {None, "asc", "desc"}:
        raise InvalidRequestError(f"order is 'asc' or 'desc': {order!r}", param="order")
    return query_of(**filters, after=after, limit=limit, order=order)


class Items(Generic[ItemT]):
    """All items of a list, fetched page by page as they are iterated over; each iteration begins afresh."""

    def __init__(self, listing: Listing[ItemT], core: Core) -> None:
        self._listing = listing
        self.core = core

    def __repr__(self) -> str:
        return f"<Items of GET {self._listing.path}>"

    def __iter__(self) -> Iterator[ItemT]:
        for page in self.pages():
            yield from page.data

    def page(self, after: str | None = None) -> types.Page[ItemT]:
        """Return one page: the first, or the one after the id `after`."""
        return cast("types.Page[ItemT]", self.core.run(self._listing.page(after)))

    def pages(self) -> Iterator[types.Page[ItemT]]:
        """Yield page after page."""
        after: str | None = None
        while True:
            page = self.page(after)
            yield page
            after = self._listing.following(page, after)
            if after is None:
                return


class AsyncItems(Generic[ItemT]):
    """All items of a list, fetched page by page as they are iterated over with `async for`."""

    def __init__(self, listing: Listing[ItemT], core: Core) -> None:
        self._listing = listing
        self.core = core

    def __repr__(self) -> str:
        return f"<AsyncItems of GET {self._listing.path}>"

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        async for page in self.pages():
            for item in page.data:
                yield item

    async def page(self, after: str | None = None) -> types.Page[ItemT]:
        """Return one page: the first, or the one after the id `after`."""
        return cast("types.Page[ItemT]", await self.core.run(self._listing.page(after)))

    async def pages(self) -> AsyncIterator[types.Page[ItemT]]:
        """Yield page after page."""
        after: str | None = None
        while True:
            page = await self.page(after)
            yield page
            after = self._listing.following(page, after)
            if after is None:
                return


class listing(Described[OwnerT, P, Listing[ItemT]], Generic[OwnerT, P, ItemT]):  # noqa: N801 - a decorator
    """Make a method that describes a list give its items: by `for` on `LMaaS`, by `async for` on `AsyncLMaaS`."""

    @overload
    def __get__(self, owner: None, kind: Any = None) -> Self: ...
    @overload
    def __get__(self, owner: Resource[SyncDriver], kind: Any = None) -> Callable[P, Items[ItemT]]: ...
    @overload
    def __get__(self, owner: Resource[AsyncDriver], kind: Any = None) -> Callable[P, AsyncItems[ItemT]]: ...
    @overload
    def __get__(
        self, owner: Resource[Raw[SyncDriver]], kind: Any = None
    ) -> Callable[P, RawResponse[types.Page[ItemT]]]: ...
    @overload
    def __get__(
        self, owner: Resource[Raw[AsyncDriver]], kind: Any = None
    ) -> Callable[P, Coroutine[Any, Any, RawResponse[types.Page[ItemT]]]]: ...
    def __get__(self, owner: Resource[Any] | None, kind: Any = None) -> Any:
        """Return the method as the owner's driver runs it; a raw one gives the first page."""
        if owner is None:
            return self
        core = owner.core
        return Bound(self, owner, lambda described: _items(described, core))


def _items(described: Listing[Any], core: Core) -> Any:
    if core.raw:
        return core.run(described.page())
    return Items(described, core) if isinstance(core.driver, SyncDriver) else AsyncItems(described, core)
