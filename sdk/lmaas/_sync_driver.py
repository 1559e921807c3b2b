"""Runs flows in the calling thread. Knows no endpoint, no retry rule, and of httpx what `_httpx.py` hands on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from lmaas._digest import sending
from lmaas._driver import Driver, failure, late
from lmaas._request import (
    Action,
    Answer,
    Attempt,
    Close,
    Compute,
    Flow,
    Now,
    Read,
    ResultT,
    Sleep,
    Source,
    Together,
    TransportError,
)
from lmaas._settings import Settings

if TYPE_CHECKING:
    from lmaas._httpx import HttpClient, HttpResponse


@dataclass(slots=True)
class Connections:
    """The HTTP client that a driver and its copies share; ours is made when it is first needed.

    httpx takes longer to load than all else that a client needs.
    """

    base_url: str
    given: HttpClient | None
    made: HttpClient | None = None
    closed: bool = False
    lock: Lock = field(default_factory=Lock)

    def http(self) -> HttpClient:
        """Return the client.

        Raises:
            RuntimeError: It has been closed.
        """
        return self.given or self.made or self._new()

    def _new(self) -> HttpClient:
        from lmaas._httpx import new_http

        with self.lock:
            if self.closed:
                raise RuntimeError("the client has been closed")
            self.made = self.made or new_http(self.base_url)
        return self.made

    def close(self) -> None:
        """Close the connections, unless the client came from outside."""
        with self.lock:
            self.closed = True
        if self.made is not None:
            self.made.close()

    @property
    def left_open(self) -> bool:
        """Whether connections of our own have been opened and not closed."""
        return self.made is not None and not self.closed


class SyncDriver(Driver):
    """Runs flows in the calling thread; any number of threads may share it."""

    def __init__(
        self,
        settings: Settings,
        http: HttpClient | None = None,
        *,
        connections: Connections | None = None,
        lender: Self | None = None,
    ) -> None:
        super().__init__(settings, lender)
        self._connections = connections or Connections(settings.base_url, http)

    def with_settings(self, settings: Settings) -> Self:
        """Return a driver of other settings over the same connections; closing is left to this one."""
        return type(self)(settings, connections=self._connections, lender=self)

    def run(self, flow: Flow[ResultT]) -> ResultT:
        """Perform what the flow asks for until it returns."""
        send: Callable[[Any], Action] = flow.send
        reply: Any = None
        while True:
            try:
                action = send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]  # a StopIteration holds Any
            try:
                reply, send = self.perform(action), flow.send
            except BaseException as exc:  # noqa: BLE001 - the flow cleans up and lets it pass
                reply, send = exc, flow.throw

    def perform(self, action: Action) -> Any:
        """Do one thing and return its outcome."""
        match action:
            case Attempt():
                return self._attempt(action)
            case Sleep():
                time.sleep(action.seconds)
            case Now():
                return time.monotonic()
            case Read():
                return self._read(action.source)
            case Close():
                _opened(action.source).response.close()
            case Compute():
                return action.function()
            case Together():
                return self._together(action)
            case _:
                raise TypeError(f"a driver performs attempts, not {action!r}")
        return None

    def _together(self, action: Together) -> list[Any]:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(action.at_once, thread_name_prefix="lmaas") as pool:
            begun = [pool.submit(self.run, flow) for flow in action.flows]
            try:
                return [each.result() for each in begun]
            finally:
                pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Close the connections, unless the HTTP client came from outside or from another driver."""
        if self._lender is None:
            self._connections.close()

    @property
    def left_open(self) -> bool:
        """Whether connections of our own have been opened and not closed."""
        return self._lender is None and self._connections.left_open

    def _attempt(self, attempt: Attempt) -> Answer | TransportError:
        from lmaas import _httpx

        http = self._connections.http()
        prepared = self._prepare(attempt, sending)
        request = _httpx.request_of(prepared, http, ours=self._connections.given is None)
        stream, left = attempt.request.stream, attempt.time_left
        try:
            response = http.send(request, stream=stream or left is not None)
            if stream and response.is_success:
                source = _Opened(response, response.iter_bytes(), prepared.url)
                return self._answer(response.status_code, response.headers, b"", prepared, source)
            body = response.read() if left is None else _read_until(response, time.monotonic() + left)
        except _DeadlineError:
            return late(prepared.url)
        except Exception as exc:
            if (told := _httpx.told(exc)) is None:
                raise
            return failure(exc, told, prepared.url)
        return self._answer(response.status_code, response.headers, body, prepared)

    @staticmethod
    def _read(source: Source) -> bytes | TransportError:
        opened = _opened(source)
        try:
            return next(opened.chunks, b"")
        except Exception as exc:
            from lmaas import _httpx

            if (told := _httpx.told(exc)) is None:
                raise
            return failure(exc, told, opened.url)


class _DeadlineError(Exception):
    """The deadline was reached while a body trickled in."""


def _read_until(response: HttpResponse, end: float) -> bytes:
    """Read a body, however slowly it comes, no longer than until `end`."""
    parts: list[bytes] = []
    try:
        for part in response.iter_bytes():
            parts.append(part)
            if time.monotonic() > end:
                raise _DeadlineError
    finally:
        response.close()
    return b"".join(parts)


@dataclass(slots=True)
class _Opened:
    """A streamed body, blocking."""

    response: HttpResponse
    chunks: Iterator[bytes]
    url: str


def _opened(source: Source) -> _Opened:
    if not isinstance(source, _Opened):
        raise TypeError(f"not a body this driver opened: {source!r}")
    return source
