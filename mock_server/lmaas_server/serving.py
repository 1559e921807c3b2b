"""The application behind granian, as a command runs it: bind, serve, drain, stop. Knows no route.

granian's first process supervises and the others serve, each on one event loop (`http.loop`). What ties them together
is here: the others die with the first, even if that is killed; a signal ends event streams, which would otherwise be
waited for; and when the last request is answered the service behind the application is closed.

One that serves alone holds the data directory itself, and the server ends with it. Of several the first process holds
it for all of them, and begins another one in place of one that died.
"""

from __future__ import annotations

import ctypes
import gc
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings

from lmaas_server.lock import DataDirectoryInUseError, DirectoryLock
from lmaas_server.settings import Settings

if TYPE_CHECKING:
    from lmaas_server.http.lane import Lane
    from lmaas_server.http.loop import Loop

__all__ = ["PortInUseError", "free_port", "serve"]

_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.02
# The loop answers, granian's threads bring requests and others write the log: each waits this long for the interpreter
# while another computes in it, where Python's own 5 ms would be most of a request's time.
_SWITCH_SECONDS = 0.0001
# Bytes of a connection read at once: fewer and larger pieces of an upload.
_MOST_READ = 1 << 20
# Beyond the time for draining: what hangs then hangs for good.
_GRACE_SECONDS = 10.0


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
        PortInUseError: Somebody has it. (granian itself would share it silently.)
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise PortInUseError(
                f"cannot listen at {host} port {port} ({exc.strerror}); stop what is there, or choose another --port"
            ) from exc
        return int(probe.getsockname()[1])


def serve(settings: Settings, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; returns when everything under way is done.

    `announce` is called with the URL once requests are answered.

    Raises:
        DataDirectoryInUseError: There are to be several workers, and another server has the data directory. (One alone
            says so, and ends.)
    """
    several = settings.workers > 1
    lock = DirectoryLock(settings.data_dir) if several else None
    granian = Granian(
        "lmaas_server",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.RSGI,
        workers=settings.workers,
        respawn_failed_workers=several,
        backpressure=max(settings.threads * 8, 128),
        workers_kill_timeout=int(settings.drain_seconds + _GRACE_SECONDS),
        http1_settings=HTTP1Settings(max_buffer_size=_MOST_READ),
        log_enabled=False,
        websockets=False,
    )
    supervisor, name = os.getpid(), secrets.token_hex(8)

    def load() -> Loop:
        _die_with(supervisor)
        # The first process's handlers came along and would swallow a signal; granian sets its own once this is loaded.
        for stop in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop, signal.SIG_DFL)
        # What is imported now stays for good: looking for garbage in it costs a tenth of the start, and later every
        # pause.
        gc.disable()
        if not several:
            return _alone(settings, announce)
        return _one_of_several(settings, name, announce)

    try:
        granian.serve(target_loader=load, wrap_loader=False)
    finally:
        if lock is not None:
            lock.release()


def _alone(settings: Settings, announce: Callable[[str], None]) -> Loop:
    """Make the application in the only process that serves."""
    from lmaas_server.app import create_app, server_of
    from lmaas_server.http.lane import lane_of

    try:
        app = create_app(settings)
    except DataDirectoryInUseError as exc:
        sys.exit(f"lmaas-server: {exc}")
    server_of(app).start()
    return _served(server_of(app), lane_of(app), settings, announce)


def _one_of_several(settings: Settings, name: str, announce: Callable[[str], None]) -> Loop:
    """Make the application in one of several processes, one process after the other."""
    from lmaas_server.app import create_app, server_of
    from lmaas_server.http.lane import lane_of
    from lmaas_server.storage.crew import Crew

    crew = Crew(settings.data_dir / "crew", server=name)
    with crew.gathering() as first:
        app = create_app(settings, crew=crew)
        server_of(app).start(tidy=first)
    return _served(server_of(app), lane_of(app), settings, announce if first else None)


def _served(server: Server, application: Lane, settings: Settings, announce: Callable[[str], None] | None) -> Loop:
    """Tie the application to its process."""
    from multiprocessing.util import Finalize

    from lmaas_server.http.loop import Loop

    # Runs when granian has answered the last request and its process function returns.
    Finalize(None, server.close, exitpriority=100)
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()
    gc.enable()
    server.watch_models(_kept_once())
    if announce is not None:
        threading.Thread(target=_announce, args=(settings, announce), name="announce", daemon=True).start()
    return Loop(application, threads=settings.threads, begun=lambda: _on_signal(server.drain))


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


def _on_signal(drain: Callable[[], None]) -> None:
    """Call `drain` on a signal, beside what granian does: its loop hears signals by a pipe, and not by handlers."""
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, lambda _number, _frame: drain())


def _announce(settings: Settings, announce: Callable[[str], None]) -> None:
    """Wait until the port answers."""
    waiting = threading.Event()
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - a comparison
    while True:
        try:
            socket.create_connection((host, settings.port), timeout=1).close()
        except OSError:
            waiting.wait(_POLL_SECONDS)
        else:
            break
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    announce(f"http://{shown}:{settings.port}")
