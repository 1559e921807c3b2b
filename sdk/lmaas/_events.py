"""Follows a server's event stream through lost connections, as a flow of items. Knows no noun and no clock.

1. Events are numbered by the server (`id:`). After a cut the stream is opened again with `Last-Event-ID`.
2. An end without `data: [DONE]` is a cut, not an end.
3. The limit of silence is between *events*: comments show that a connection lives, not that there is news. When it
   is reached, the stream is opened again.
4. Cuts in a row without an event between them are counted; after `MAX_CUTS` the last is raised.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from lmaas._decode import answered, sent
from lmaas._listing import Listing
from lmaas._request import Action, Answer, CallOptions, Close, Now, Query, Read, Request, Sleep, TransportError
from lmaas._retry import backoff
from lmaas._sse import EventDecoder, ServerEvent
from lmaas._stream import Emit, EmitFlow
from lmaas.errors import APIConnectionError, APIError, APITimeoutError

ItemT = TypeVar("ItemT")

IDLE_LIMIT = 60.0
MAX_CUTS = 5
DONE = "[DONE]"


@dataclass(slots=True)
class _Place:
    """How far the stream has been read."""

    last_id: str | None
    cuts: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class _Cut:
    """Why reading stopped before the end. `alive`: the server was there, and only had nothing to say."""

    error: APIConnectionError
    alive: bool = False


def followed(
    path: str,
    read: Callable[[ServerEvent], ItemT],
    *,
    options: CallOptions,
    query: Query = (),
    last_id: str | None = None,
    uniform: Callable[[], float] = random.random,
) -> EmitFlow[ItemT]:
    """Emit each event of the stream at `path` once, in order, until the server says that it is done.

    Raises:
        APIConnectionError: The stream broke off and could not be taken up again.
        APIError: The server reported an error within the stream.
    """
    place = _Place(last_id)
    while True:
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        if place.last_id is not None:
            headers["last-event-id"] = place.last_id
        request = Request("GET", path, query, headers=headers, options=options, stream=True)
        answer = answered((yield request), request)
        cut = yield from _read_events(answer, request, place, read)
        if answer.source is not None:
            yield Close(answer.source)
        if cut is None:
            return
        if not cut.alive:
            place.cuts += 1
            if place.cuts > MAX_CUTS:
                raise cut.error
            yield Sleep(backoff(place.cuts - 1, uniform()))


def listed(described: Listing[ItemT]) -> EmitFlow[ItemT]:
    """Emit the items of a list, page by page: the events that are there."""
    after: str | None = None
    while True:
        page = yield from described.page(after)
        for item in page.data:
            yield Emit(item)
        after = described.following(page, after)
        if after is None:
            return


def received(request: Request, read: Callable[[ServerEvent], ItemT]) -> EmitFlow[ItemT]:
    """Emit each event of the stream that answers a request, which cannot be taken up again where it broke off.

    Raises:
        APIConnectionError: The stream broke off.
        APIError: The server reported an error within the stream.
    """
    answer = answered((yield request), request)
    cut = yield from _read_events(answer, request, _Place(None), read)
    if answer.source is not None:
        yield Close(answer.source)
    if cut is not None:
        raise cut.error


def _read_events(
    answer: Answer, request: Request, place: _Place, read: Callable[[ServerEvent], ItemT]
) -> Generator[Action | Emit[ItemT], Any, _Cut | None]:
    """Emit the events of one connection; return None at the proper end, or what cut it short."""
    decoder = EventDecoder()
    since: float = yield Now()
    alive = False
    while True:
        now: float = yield Now()
        if now - since >= IDLE_LIMIT:
            return _Cut(_cut(request, answer, f"no event for {IDLE_LIMIT:g} s", APITimeoutError), alive)
        chunk: bytes | TransportError = yield Read(answer.source, IDLE_LIMIT - (now - since))
        if isinstance(chunk, TransportError):
            return _Cut(_cut(request, answer, chunk.message, APIConnectionError), alive and chunk.kind == "timeout")
        if not chunk:
            return _Cut(_cut(request, answer, "the stream ended without [DONE]", APIConnectionError))
        alive = True
        for event in decoder.feed(chunk):
            if event.data == DONE:
                return None
            _raise_reported(event, request, answer)
            item = read(event)
            place.cuts, place.last_id = 0, event.id if event.id is not None else place.last_id
            yield Emit(item)
            since = yield Now()


def _cut(request: Request, answer: Answer, reason: str, kind: type[APIConnectionError]) -> APIConnectionError:
    error = kind(f"{request.method} {request.path}: {reason}", request=sent(request, answer.url))
    error.request_id = answer.headers.get("x-request-id")
    return error


def _raise_reported(event: ServerEvent, request: Request, answer: Answer) -> None:
    """Raise the error a server reports within a stream, where the status can no longer tell."""
    if event.event != "error":
        return
    try:
        detail: Any = json.loads(event.data)["error"]
        message, code = str(detail["message"]), detail.get("code")
    except (ValueError, KeyError, TypeError, AttributeError):
        message, code = event.data, None
    error = APIError(message, request=sent(request, answer.url))
    error.code, error.request_id = code, answer.headers.get("x-request-id")
    raise error
