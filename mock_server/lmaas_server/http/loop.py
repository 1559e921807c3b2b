"""The application on one event loop: what is asked often is answered there, all else goes to threads by WSGI.

    request -> quick? -> its steps on the loop -> rows -> the turn: all rows that came together, computed at once
            -> else   -> a thread: the WSGI application (`http.bridge`)

No thread is woken for a quick request. While a turn is computed the next requests gather, so that there are as many
in a batch as the load makes. What turns out to be lengthy (a model to load, one that is large, texts) is carried to its
end by a thread. Knows no socket, and no noun.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import TypeAlias

from flask import Response

from lmaas_server.engine.data.examples import Array
from lmaas_server.engine.serving.batching import Batcher
from lmaas_server.engine.serving.steps import Lengthy, Steps, Together, finished
from lmaas_server.http.bridge import Bridge
from lmaas_server.http.exchange import Exchange
from lmaas_server.http.heads import Head
from lmaas_server.http.lane import Asked, Lane, Pass, headers_of
from lmaas_server.http.operation import Answer

__all__ = ["Loop", "Turns"]

logger = logging.getLogger("lmaas_server")

_MOST_READ = 1 << 20
"""A body of more bytes is read, and looked through, in a thread."""
_EVENT_STREAM = "text/event-stream"

Then: TypeAlias = "Callable[[Array | BaseException], None]"


class Turns:
    """Rows by turn of the loop: what was asked is computed together once a turn has brought nothing more.

    Who asks alone is answered in the next turn, and nobody is waited for longer than the first model's `max_delay`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked: dict[Batcher, list[tuple[Together, Then]]] = {}
        self._callers = 0
        self._seen = 0
        self._due = 0.0

    def __repr__(self) -> str:
        return f"Turns({sum(map(len, self._asked.values()))} asked)"

    def ask(self, wanted: Together, then: Then) -> None:
        """Have rows computed in the next turn, and `then` called with what came of them.

        Raises:
            UnavailableError: `overloaded`: too many wait for this model.
        """
        waiting = self._asked.get(wanted.batcher, [])
        wanted.batcher.check_room(len(waiting))
        if not self._asked:
            self._callers, self._seen = 0, 1
            self._due = perf_counter() + wanted.batcher.limits.max_delay
            self._loop.call_soon(self._look)
        self._callers += 1
        waiting.append((wanted, then))
        self._asked[wanted.batcher] = waiting

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
            for (_, then), answer in zip(callers, answers, strict=True):
                then(answer)


class Loop:
    """The application, asked from an event loop."""

    def __init__(self, application: Lane, *, threads: int) -> None:
        """`threads` may run the WSGI application at once."""
        self._application = application
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._bridged: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"Loop({self._application!r})"

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, in the loop's thread."""
        self._loop = loop
        self._turns = Turns(loop)

    def answer(self, exchange: Exchange) -> None:
        """Answer one request, whose head is there."""
        head = exchange.head
        found = self._application.find(head.method, head.path)
        if found is not None and _is_small(head) and _EVENT_STREAM not in head.variables.get("HTTP_ACCEPT", ""):
            exchange.when_whole(partial(self._begin, exchange, *found))
            return
        task = self._loop.create_task(self._bridge(exchange))
        self._bridged.add(task)
        task.add_done_callback(self._bridged.discard)

    async def _bridge(self, exchange: Exchange) -> None:
        bridge = Bridge(exchange, self._loop)
        try:
            await self._loop.run_in_executor(self._threads, bridge.run, self._application)
        except Exception:
            logger.exception("a request failed")
            exchange.fail()
        finally:
            bridge.end()

    def _begin(self, exchange: Exchange, pass_by: Pass, names: dict[str, str], body: bytes) -> None:
        environ = exchange.head.environ(exchange.address, io.BytesIO(body))
        _Course(self, exchange, pass_by(Asked(environ), names)).go(None)

    def compute(self, wanted: Together | Lengthy, course: _Course) -> None:
        """Do what the steps of a quick request want: here as long as it is short, else carry them to their end."""
        if isinstance(wanted, Lengthy) or not wanted.light:
            self._threads.submit(finished, course.steps, wanted).add_done_callback(course.carried)
        else:
            self._turns.ask(wanted, course.go)


class _Course:
    """A quick request on its way through its steps."""

    __slots__ = ("_exchange", "_loop", "steps")

    def __init__(self, loop: Loop, exchange: Exchange, steps: Steps[Answer | Response]) -> None:
        self._loop = loop
        self._exchange = exchange
        self.steps = steps

    def go(self, found: Array | BaseException | None) -> None:
        """Go on with what was computed, or with what failed, up to the next stop or the end."""
        try:
            while True:
                wanted = self.steps.throw(found) if isinstance(found, BaseException) else self.steps.send(found)
                try:
                    self._loop.compute(wanted, self)
                except Exception as exc:  # noqa: BLE001 - whatever it was is for who asked
                    found = exc
                else:
                    return
        except StopIteration as end:
            self._answer(end.value)
        except Exception:
            logger.exception("a request failed")
            self._exchange.fail()

    def carried(self, work: Future[Answer | Response]) -> None:
        """Answer with what a thread has come to."""
        if (exc := work.exception()) is None:
            self._answer(work.result())
            return
        logger.error("a request failed", exc_info=exc)
        self._exchange.fail()

    def _answer(self, answer: Answer | Response) -> None:
        if isinstance(answer, Response):
            logger.error("a quick operation answers with a stream only where a stream was asked for")
            self._exchange.fail()
        else:
            self._exchange.answer(answer.status, headers_of(answer), answer.body)


def _is_small(head: Head) -> bool:
    return head.length is not None and head.length <= _MOST_READ
