"""Runs flows in the calling thread. Knows no endpoint, no retry rule, and of httpx what `_driver.py` hands on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from lmaas._digest import sending
from lmaas._driver import WIRE_ERRORS, Driver, HttpClient, HttpResponse, failure, late, new_http
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


class SyncDriver(Driver):
    """Runs flows in the calling thread; any number of threads may share it."""

    def __init__(self, settings: Settings, http: HttpClient | None = None, *, lender: Self | None = None) -> None:
        super().__init__(settings, lender, ours=http is None if lender is None else lender.ours)
        self._own = http is None
        self._http = http or new_http(settings.base_url)
        self._unclosed = False

    def with_settings(self, settings: Settings) -> Self:
        """Return a driver of other settings over the same connections; closing is left to this one."""
        return type(self)(settings, self._http, lender=self)

    def run(self, flow: Flow[ResultT]) -> ResultT:
        """Perform what the flow asks for until it returns."""
        send: Callable[[Any], Action] = flow.send
        reply: Any = None
        while True:
            try:
                action = send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
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
        """Close the connections, unless the HTTP client came from outside."""
        if self._own:
            self._http.close()
            self._unclosed = False

    @property
    def left_open(self) -> bool:
        """Whether connections of our own have been opened and not closed."""
        return self._own and self._unclosed

    def _attempt(self, attempt: Attempt) -> Answer | TransportError:
        self._unclosed = True
        prepared = self._prepare(attempt, self._http, sending)
        timed = attempt.time_left is not None
        try:
            response = self._http.send(prepared.request, stream=attempt.request.stream or timed)
            if attempt.request.stream and response.is_success:
                return self._answer(response, b"", prepared, _Opened(response, response.iter_bytes()))
            body = _read_until(response, time.monotonic() + (attempt.time_left or 0)) if timed else response.read()
        except WIRE_ERRORS as exc:
            return failure(exc, str(prepared.request.url))
        except _DeadlineError:
            return late(str(prepared.request.url))
        return self._answer(response, body, prepared)

    @staticmethod
    def _read(source: Source) -> bytes | TransportError:
        opened = _opened(source)
        try:
            return next(opened.chunks, b"")
        except WIRE_ERRORS as exc:
            return failure(exc, str(opened.response.url))


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


def _opened(source: Source) -> _Opened:
    if not isinstance(source, _Opened):
        raise TypeError(f"not a body this driver opened: {source!r}")
    return source
