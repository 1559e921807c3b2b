"""Texts as they are written: streams of pieces that end in a prediction. Knows no endpoint and no transport."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, overload

from lmaas import types
from lmaas._flow import Bound, Core, Described, OwnerT, P, Resource
from lmaas._request import Request
from lmaas._sse import ServerEvent
from lmaas._stream import AsyncStream, Emit, EmitFlow, Stream, emitting
from lmaas._sync_driver import SyncDriver

if TYPE_CHECKING:
    from lmaas._async_driver import AsyncDriver


class TextStream(Stream[str]):
    """A text as it is written, piece by piece; leave its `with` block, and the server stops writing."""

    @property
    def prediction(self) -> types.Prediction:
        """The answer as a whole, for feedback; there once the last piece was read.

        Raises:
            RuntimeError: It is not there yet.
        """
        return _there(self._result)


class AsyncTextStream(AsyncStream[str]):
    """A text as it is written, piece by piece; leave its `async with` block, and the server stops writing."""

    @property
    def prediction(self) -> types.Prediction:
        """The answer as a whole, for feedback; there once the last piece was read.

        Raises:
            RuntimeError: It is not there yet.
        """
        return _there(self._result)


def written(request: Request) -> EmitFlow[str]:
    """Send a request for a text, emit its pieces and return the prediction they make.

    Raises:
        APIConnectionError: The stream broke off; a text is not taken up again in its middle.
        APIError: The server reported an error within the stream.
    """
    from lmaas._events import received

    events = received(request, _read)
    prediction: types.Prediction | None = None
    reply: object = None
    while True:
        try:
            action = events.send(reply)
        except StopIteration:
            return prediction
        reply = None
        if isinstance(action, Emit):
            if isinstance(action.item, str):
                yield Emit(action.item)
            else:
                prediction = action.item
        else:
            reply = yield action


class writing(Described[OwnerT, P, EmitFlow[str]], Generic[OwnerT, P]):  # noqa: N801 - a decorator
    """Make a method that returns the flow of a text give a `TextStream` or, on `AsyncLMaaS`, an `AsyncTextStream`."""

    @overload
    def __get__(self, owner: None, kind: Any = None) -> Self: ...
    @overload
    def __get__(self, owner: Resource[SyncDriver], kind: Any = None) -> Callable[P, TextStream]: ...
    @overload
    def __get__(self, owner: Resource[AsyncDriver], kind: Any = None) -> Callable[P, AsyncTextStream]: ...
    def __get__(self, owner: Resource[Any] | None, kind: Any = None) -> Any:
        """Return the method as the owner's driver runs it."""
        if owner is None:
            return self
        core = owner.core
        if core.raw:
            raise TypeError(f"{self.function.__name__}() is a stream, which has no raw response")
        return Bound(self, owner, lambda flow: _stream(flow, core))


def _stream(flow: EmitFlow[str], core: Core) -> Any:
    flow = emitting(flow, core.policy)
    return TextStream(flow, core) if isinstance(core.driver, SyncDriver) else AsyncTextStream(flow, core)


def _read(event: ServerEvent) -> str | types.Prediction:
    data: Any = json.loads(event.data)
    return types.Prediction.model_validate(data) if event.event == "prediction" else str(data.get("text", ""))


def _there(result: object) -> types.Prediction:
    if isinstance(result, types.Prediction):
        return result
    raise RuntimeError("the prediction of a text is there once its last piece was read")
