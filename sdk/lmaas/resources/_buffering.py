"""Which buffer a client gets: one that blocks, or one that is awaited. Knows no endpoint and nothing of sending."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, overload

from lmaas._flow import Bound, Core, Described, OwnerT, P, Resource
from lmaas._sync_driver import SyncDriver
from lmaas.resources._buffer import FeedbackBuffer
from lmaas.resources._outbox import BufferPlan

if TYPE_CHECKING:
    from lmaas._async_driver import AsyncDriver
    from lmaas.resources._async_buffer import AsyncFeedbackBuffer


class buffering(Described[OwnerT, P, BufferPlan], Generic[OwnerT, P]):  # noqa: N801 - a decorator
    """Make a method that plans a buffer give one: a `FeedbackBuffer` on `LMaaS`, an async one on `AsyncLMaaS`."""

    @overload
    def __get__(self, owner: None, kind: Any = None) -> Self: ...
    @overload
    def __get__(self, owner: Resource[SyncDriver], kind: Any = None) -> Callable[P, FeedbackBuffer]: ...
    @overload
    def __get__(self, owner: Resource[AsyncDriver], kind: Any = None) -> Callable[P, AsyncFeedbackBuffer]: ...
    def __get__(self, owner: Resource[Any] | None, kind: Any = None) -> Any:
        """Return the method as the owner's driver runs it."""
        if owner is None:
            return self
        core = owner.core
        if core.raw:
            raise TypeError(f"{self.function.__name__}() makes many calls, and has no raw response")
        return Bound(self, owner, lambda plan: _buffer(plan, core))


def _buffer(plan: BufferPlan, core: Core) -> Any:
    if isinstance(core.driver, SyncDriver):
        return FeedbackBuffer(plan, core)
    from lmaas.resources._async_buffer import AsyncFeedbackBuffer

    return AsyncFeedbackBuffer(plan, core)
