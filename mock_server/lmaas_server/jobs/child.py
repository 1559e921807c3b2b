"""What a job's process does: reads its spec, does the work, says what comes of it; knows no database.

The work is a function named by the spec, `module:function`, that takes the spec and a `control` and yields reports.
It is called once and the process ends.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from lmaas_server.engine.reports import Cancelled as CancelAsked
from lmaas_server.engine.reports import Paused as PauseAsked
from lmaas_server.errors import ServiceError
from lmaas_server.jobs.channel import Channel
from lmaas_server.jobs.protocol import Cancelled, Failed, Paused, Said, to_json

Json = dict[str, Any]
Control = Callable[[], str | None]
WorkFunction = Callable[[Json, Control], Iterator[Said]]


class Wishes:
    """What the server wants of this job, asked between steps; called as `control()`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._wanted: str | None = None

    def __call__(self) -> str | None:
        """Return `pause`, `cancel` or None; ends the process if the server is gone."""
        try:
            while (value := self._channel.receive(wait=False)) is not None:
                if self._wanted != "cancel":
                    self._wanted = value["want"]
        except EOFError:
            os._exit(0)
        return self._wanted


def run(sock: socket.socket) -> None:
    """Do the job at the other end of the socket."""
    channel = Channel(sock)
    try:
        spec = channel.receive()
    except EOFError:
        return
    if spec is not None:
        _work(channel, spec)


def _work(channel: Channel, spec: Json) -> None:
    try:
        module, _, name = spec["entry"].partition(":")
        function: WorkFunction = getattr(importlib.import_module(module), name)
        for said in function(spec, Wishes(channel)):
            channel.send(to_json(said))
    except PauseAsked:
        channel.send(to_json(Paused()))
    except CancelAsked:
        channel.send(to_json(Cancelled()))
    except Exception as exc:  # noqa: BLE001 - whatever it is, the job has failed and its server is told
        channel.send(to_json(explained(exc)))


def explained(error: Exception) -> Failed:
    """Return why a job failed, as its caller should read it; a bug also goes to stderr with its traceback."""
    if isinstance(error, ServiceError):
        return Failed(error.code, error.message)
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "out of memory" in str(error):
        return Failed("out_of_memory", f"The job ran out of memory: {error}".rstrip(": "))
    traceback.print_exception(error, file=sys.stderr)
    return Failed("internal_error", f"{type(error).__name__}: {error}")
