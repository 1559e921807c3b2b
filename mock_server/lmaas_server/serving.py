"""The application as a command runs it: bind, serve, drain, stop. Knows no route.

One process that serves alone is the command itself; the server ends with it, and says that it is alive before the
application is loaded (`http.opening`). Of several the first process binds the socket, holds the data directory for all
of them, and begins another one in place of one that died; the others serve (`http.loop`), each on an event loop of its
own, and die with the first, even if that is killed.

A signal ends event streams, which would otherwise be waited for; when the last request is answered the service behind
the application is closed.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import multiprocessing
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Protocol

from lmaas_server.lock import DirectoryLock
from lmaas_server.settings import Settings

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess

    from lmaas_server.http.lane import Lane

__all__ = ["PortInUseError", "free_port", "serve"]

_PR_SET_PDEATHSIG = 1
_STOPS = (signal.SIGTERM, signal.SIGINT)
# The loop answers while others write the log and compute: each waits this long for the interpreter while another
# computes in it, where Python's own 5 ms would be most of a request's time.
_SWITCH_SECONDS = 0.0001
# Objects in containers between two looks for garbage. What waits for the log and for the observer is more than Python's
# own 700: each look found it alive, and one in ten held every request up for a millisecond.
_YOUNG = 20_000
_BACKLOG = 1024
# Half of the files that a process may usually have open.
_CONNECTIONS = 512
# Beyond the time for draining: what hangs then hangs for good.
_GRACE_SECONDS = 10.0
_AGAIN_SECONDS = 1.0
"""A process that died sooner than this is not begun again at once."""


class Server(Protocol):
    """What stands behind an application: `app.Server`, which is imported where it is needed."""

    def drain(self) -> None:
        """Refuse new requests."""

    def close(self) -> None:
        """Stop."""

    def watch_models(self, listener: Callable[[str], None]) -> None:
        """Have `listener` told of every version that was loaded."""


class PortInUseError(RuntimeError):
    """Something listens there already."""


def free_port(host: str, port: int) -> int:
    """Return the port to listen at: the one asked for if nobody has it, or a free one for 0.

    Raises:
        PortInUseError: Somebody has it.
    """
    with _bound(host, port) as probe:
        return int(probe.getsockname()[1])


def serve(settings: Settings, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; returns when everything under way is done.

    `announce` is called with the URL once requests are answered.

    Raises:
        DataDirectoryInUseError: Another server has the data directory.
        PortInUseError: Something listens there already.
    """
    if settings.workers > 1:
        lock = DirectoryLock(settings.data_dir)
        try:
            with _bound(settings.host, settings.port) as listening:
                _supervise(settings, listening, announce)
        finally:
            lock.release()
        return
    with _bound(settings.host, settings.port) as listening:
        # What is imported now stays for good: looking for garbage in it costs a tenth of the start, and later every
        # pause.
        gc.disable()
        _alone(settings, listening, announce)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as exc:
        raise PortInUseError(
            f"cannot listen at {host} port {port} ({exc.strerror}); stop what is there, or choose another --port"
        ) from exc


def _alone(settings: Settings, listening: socket.socket, announce: Callable[[str], None]) -> None:
    """Serve in this process, the only one."""
    lock = DirectoryLock(settings.data_dir)  # before anybody is told that the server is alive

    def load() -> tuple[Server, Lane]:
        from lmaas_server.app import create_app, server_of
        from lmaas_server.http.lane import lane_of

        app = create_app(settings, lock=lock)
        server_of(app).start()
        return server_of(app), lane_of(app)

    _run(load, listening, settings, announce, early=True)


def _one_of_several(
    settings: Settings, listening: socket.socket, name: str, supervisor: int, announce: Callable[[str], None]
) -> None:
    """Serve in one of several processes, which are made one after the other."""
    _die_with(supervisor)
    # The first process's handlers came along and would swallow a signal until this one has its own.
    for stop in _STOPS:
        signal.signal(stop, signal.SIG_DFL)
    gc.disable()

    def say(url: str) -> None:
        if leads.is_set():
            announce(url)

    leads = threading.Event()

    def load() -> tuple[Server, Lane]:
        from lmaas_server.app import create_app, server_of
        from lmaas_server.http.lane import lane_of
        from lmaas_server.storage.crew import Crew

        crew = Crew(settings.data_dir / "crew", server=name)
        with crew.gathering() as first:
            app = create_app(settings, crew=crew)
            server_of(app).start(tidy=first)
        if first:
            leads.set()
        return server_of(app), lane_of(app)

    # Not early: what it took before it is loaded another one would answer sooner.
    _run(load, listening, settings, say, early=False)


def _supervise(settings: Settings, listening: socket.socket, announce: Callable[[str], None]) -> None:
    """Keep processes serving until a signal, and then wait for them."""
    forking = multiprocessing.get_context("fork")
    given = (settings, listening, secrets.token_hex(8), os.getpid(), announce)
    serving: list[ForkProcess] = []
    stopped = False  # no Event: who is interrupted while it looks at one holds its lock

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True
        for process in serving:
            process.terminate()

    for signal_ in _STOPS:
        signal.signal(signal_, stop)
    while not stopped:
        while len(serving) < settings.workers and not stopped:
            began = time.monotonic()
            begun = forking.Process(target=_one_of_several, args=given)
            begun.start()
            serving.append(begun)
        if stopped:
            break  # nobody has told the one that was begun meanwhile
        wait([process.sentinel for process in serving])
        serving[:] = [process for process in serving if process.is_alive()]
        if not stopped:
            time.sleep(max(0.0, began + _AGAIN_SECONDS - time.monotonic()))
    stop()
    for process in serving:
        process.join()


def _run(
    load: Callable[[], tuple[Server, Lane]],
    listening: socket.socket,
    settings: Settings,
    announce: Callable[[str], None],
    *,
    early: bool,
) -> None:
    """Answer until a signal, and what is under way then; close the service.

    `load` makes what answers, in a thread beside the loop; what fails in it is raised. With `early` requests are taken
    meanwhile.
    """
    from lmaas_server.http.listener import Listener
    from lmaas_server.http.opening import Opening

    sys.setswitchinterval(_SWITCH_SECONDS)
    loop, opening = _new_loop(), Opening()
    heard, ended = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        if not heard.is_set():
            heard.set()
            last = threading.Timer(settings.drain_seconds + _GRACE_SECONDS, os._exit, (1,))
            last.daemon = True
            last.start()

    for signal_ in _STOPS:
        loop.add_signal_handler(signal_, stop)
    listener = Listener(listening, opening.answer, most=max(settings.threads * 8, _CONNECTIONS), ended=ended.set)
    if early:
        listener.open(loop)
    with ThreadPoolExecutor(1, thread_name_prefix="load") as loading:
        server, application = loop.run_until_complete(loop.run_in_executor(loading, load))

    async def serve() -> None:
        from lmaas_server.http.loop import Loop

        answering = Loop(application, threads=settings.threads)
        answering.start(loop)
        opening.open(answering.answer)
        if not early:
            listener.open(loop)
        shown = f"[{settings.host}]" if ":" in settings.host else settings.host
        announce(f"http://{shown}:{settings.port}")
        await heard.wait()
        loop.call_later(settings.drain_seconds, listener.cut)
        server.drain()
        listener.drain()
        await ended.wait()

    gc.freeze()
    gc.set_threshold(_YOUNG)
    gc.enable()
    server.watch_models(_kept_once())
    try:
        loop.run_until_complete(serve())
    finally:
        server.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop of uvloop where that is there: a tenth of a request's time less than with asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _kept_once() -> Callable[[str], None]:
    """Return what is to be told of loaded models: with the first came torch, which stays for good too.

    To look for garbage among its 140,000 objects stops every request for 80 ms, once in some seconds under load.
    """
    told = threading.Lock()

    def tell(_model: str) -> None:
        if told.acquire(blocking=False):
            gc.collect()
            gc.freeze()

    return tell


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before the kernel was told
        os._exit(1)
