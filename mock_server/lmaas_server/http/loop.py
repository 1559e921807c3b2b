"""The application on one event loop: what is asked often is answered there, all else goes to threads by WSGI.

    request -> quick? -> its steps on the loop -> rows -> the turn: all rows that came together, computed at once
            -> else   -> a thread: the WSGI application (`http.bridge`)

No thread is woken for a quick request. While a turn is computed the next requests gather, so that there are as many
in a batch as the load makes. What turns out to be lengthy (a model to load, one that is large, texts) is carried to its
end by a thread. Knows granian's RSGI, and no noun.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import perf_counter
from typing import Any, TypeVar

from flask import Request, Response

from lmaas_server.engine.data.examples import Array
from lmaas_server.engine.serving.batching import Batcher
from lmaas_server.engine.serving.steps import Lengthy, Steps, Together, finished
from lmaas_server.http.bridge import Bridge
from lmaas_server.http.lane import Lane, Pass, headers_of
from lmaas_server.http.rsgi import HTTPProtocol, ProtocolClosed, Scope, environ_of

__all__ = ["Loop", "Turns"]

AnswerT = TypeVar("AnswerT")
logger = logging.getLogger("lmaas_server")

_MOST_READ = 1 << 20
"""A body of more bytes is read, and looked through, in a thread."""
_MOST_DIGITS = 7
_NOTHING = io.BytesIO()
_EVENT_STREAM = "text/event-stream"


class Turns:
    """Rows by turn of the loop: what was asked is computed together once a turn has brought nothing more.

    Who asks alone is answered in the next turn, and nobody is waited for longer than the first model's `max_delay`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked: dict[Batcher, list[tuple[Together, asyncio.Future[Array]]]] = {}
        self._callers = 0
        self._seen = 0
        self._due = 0.0

    def __repr__(self) -> str:
        return f"Turns({sum(map(len, self._asked.values()))} asked)"

    def ask(self, wanted: Together) -> asyncio.Future[Array]:
        """Have rows computed in the next turn.

        Raises:
            UnavailableError: `overloaded`: too many wait for this model.
        """
        waiting = self._asked.get(wanted.batcher, [])
        wanted.batcher.check_room(len(waiting))
        answer: asyncio.Future[Array] = self._loop.create_future()
        if not self._asked:
            self._callers, self._seen = 0, 1
            self._due = perf_counter() + wanted.batcher.limits.max_delay
            self._loop.call_soon(self._look)
        self._callers += 1
        waiting.append((wanted, answer))
        self._asked[wanted.batcher] = waiting
        return answer

    def _look(self) -> None:
        """Compute, unless the last turn has brought more callers: then the next may do so too."""
        if self._callers > self._seen and perf_counter() < self._due:
            self._seen = self._callers
            self._loop.call_soon(self._look)
        else:
            self._compute()

    def _compute(self) -> None:
        asked, self._asked = self._asked, {}
        for batcher, callers in asked.items():
            answers = batcher.together(callers[0][0].compute, [wanted.rows for wanted, _ in callers])
            for (_, future), answer in zip(callers, answers, strict=True):
                if future.cancelled():
                    continue
                if isinstance(answer, BaseException):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)


class Loop:
    """An RSGI application over a WSGI one."""

    def __init__(self, application: Lane, *, threads: int, begun: Callable[[], None] = lambda: None) -> None:
        """`threads` may run the WSGI application at once; `begun` is called in the loop's thread before it runs."""
        self._application = application
        self._begun = begun
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")

    def __repr__(self) -> str:
        return f"Loop({self._application!r})"

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin."""
        self._loop = loop
        self._turns = Turns(loop)
        self._begun()

    async def __call__(self, scope: Scope, protocol: HTTPProtocol) -> None:
        """Answer one request."""
        found = self._application.find(scope.method, scope.path)
        if found is not None:
            environ = environ_of(scope, _NOTHING)
            if _is_small(environ) and _EVENT_STREAM not in environ.get("HTTP_ACCEPT", ""):
                await self._quick(environ, protocol, *found)
                return
        bridge = Bridge(scope, protocol, self._loop)
        try:
            await self._loop.run_in_executor(self._threads, bridge.run, self._application)
        finally:
            bridge.end()

    async def _quick(
        self, environ: dict[str, Any], protocol: HTTPProtocol, pass_by: Pass, names: dict[str, str]
    ) -> None:
        with suppress(ProtocolClosed):  # where it breaks off, its length will tell
            environ["wsgi.input"] = io.BytesIO(await protocol())
        answer = await self._ended(pass_by(Request(environ, populate_request=False), names))
        if isinstance(answer, Response):
            raise TypeError("a quick operation answers with a stream only where a stream was asked for")
        protocol.response_bytes(answer.status, headers_of(answer), answer.body)

    async def _ended(self, steps: Steps[AnswerT]) -> AnswerT:
        """Run steps to their end: here as long as they are short, then in a thread."""
        try:
            wanted = next(steps)
            while True:
                if isinstance(wanted, Lengthy) or not wanted.light:
                    return await self._loop.run_in_executor(self._threads, finished, steps, wanted)
                try:
                    found = await self._turns.ask(wanted)
                except Exception as exc:  # noqa: BLE001 - whatever it was is for who asked
                    wanted = steps.throw(exc)
                else:
                    wanted = steps.send(found)
        except StopIteration as end:
            answer: AnswerT = end.value
            return answer


def _is_small(environ: dict[str, Any]) -> bool:
    said = environ.get("CONTENT_LENGTH", "")
    return said.isdecimal() and said.isascii() and len(said) <= _MOST_DIGITS and int(said) <= _MOST_READ
