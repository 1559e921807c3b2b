"""The server's end of the fork server: starts it, asks it for processes; knows no job but as a spec to pass on."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from lmaas_server.jobs.channel import Channel
from lmaas_server.jobs.protocol import Exited, Said, from_json

PRELOADED = (
    "torch",
    "torch._dynamo",  # building the first optimizer imports it: 0.8 s that no job should pay
    "torch.optim",
    "safetensors.torch",
    "lmaas_server.jobs.work",
    "lmaas_server.engine.data.reader",
    "lmaas_server.engine.learning.train",
    "lmaas_server.engine.learning.evaluate",
    "lmaas_server.engine.learning.update",
)
SPINS = "3000"
"""Of threads that wait for each other, before they sleep: a hundredth of what libgomp does. See `threads`."""
ANSWER_SECONDS = 120.0
"""Importing torch on a busy machine takes its time; beyond this something is wrong."""


class JobProcess:
    """A process that does one job, and the channel to it."""

    def __init__(self, pid: int, channel: Channel, server: ForkServer) -> None:
        self.pid = pid
        self._channel = channel
        self._server = server

    def __repr__(self) -> str:
        return f"JobProcess(pid={self.pid})"

    def send(self, value: dict[str, Any]) -> bool:
        """Send the spec, or a wish; False if the process is gone."""
        return self._channel.send(value)

    def messages(self) -> Iterator[Said]:
        """Yield what the process says; the last is always `Exited`, and the process is gone then."""
        while True:
            try:
                value = self._channel.receive()
            except EOFError:
                yield Exited()  # the fork server went with it
                return
            said = from_json(value or {})
            yield said
            if isinstance(said, Exited):
                return

    def kill(self) -> None:
        """End the process at once; harmless where it has ended."""
        self._server.kill(self.pid)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


class ForkServer:
    """A warm process that job processes are forked from; started when first needed, or before by `start`.

    Thread-safe. Several runners in one process may share one.
    """

    def __init__(self, *, preload: Sequence[str] = PRELOADED) -> None:
        """Name the modules it imports before it forks."""
        self._preload = tuple(preload)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def __repr__(self) -> str:
        return f"ForkServer(pid={self.pid})"

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it, if it does not run; returns at once, while it imports."""
        with self._lock:
            self._start()

    def fork(self) -> JobProcess:
        """Return a new process that waits for its spec.

        Raises:
            RuntimeError: The fork server cannot be started.
        """
        here, there = socket.socketpair()
        try:
            with self._lock, there:
                answer = self._ask({"do": "fork"}, there)
        except BaseException:
            here.close()
            raise
        return JobProcess(int(answer["pid"]), Channel(here), self)

    def kill(self, pid: int) -> None:
        """Kill one of its processes; harmless where that has ended."""
        with self._lock, contextlib.suppress(RuntimeError):
            if self.pid is not None:
                self._ask({"do": "kill", "pid": pid})

    def close(self) -> None:
        """End it and every process it has forked."""
        with self._lock:
            self._close()

    def _ask(self, request: dict[str, Any], *passed: socket.socket) -> dict[str, Any]:
        """Send one request and return its answer; starts the server anew if it has died, once."""
        line = orjson.dumps(request) + b"\n"
        for _ in range(2):
            control = self._start()
            try:
                if passed:
                    socket.send_fds(control, [line], [sock.fileno() for sock in passed])
                else:
                    control.sendall(line)
                return self._read(control)
            except OSError:
                self._close()
        raise RuntimeError(f"the fork server died twice; try: {sys.executable} -c 'import {', '.join(self._preload)}'")

    @staticmethod
    def _read(control: socket.socket) -> dict[str, Any]:
        answer = b""
        while not answer.endswith(b"\n"):
            data = control.recv(4096)
            if not data:
                raise ConnectionError("the fork server is gone")
            answer += data
        return dict(orjson.loads(answer))

    def _start(self) -> socket.socket:
        if self._control is not None and self.pid is not None:
            return self._control
        self._close()
        here, there = socket.socketpair()
        here.settimeout(ANSWER_SECONDS)
        with there:
            descriptor = str(there.fileno())
            arguments = [descriptor, str(os.getpid()), ",".join(self._preload)]
            self._process = subprocess.Popen(  # noqa: S603 - our own module under our own interpreter
                # -P: a file in the working directory must not shadow a module.
                [sys.executable, "-P", "-m", "lmaas_server.jobs.forkserver", *arguments],
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,
                env=_environment(),
                cwd="/",  # where it was started may be gone before it is
                # Ctrl-C in the terminal is for the server, which stops its jobs in order.
                start_new_session=True,
            )
        self._control = here
        return here

    def _close(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _environment() -> dict[str, str]:
    """Return the environment in which the same modules are found, and importing numpy starts no threads.

    How long threads spin before they sleep (SPINS) is left to who has said how they wait.
    """
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry)
    waiting = {} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": SPINS}
    return {"OPENBLAS_NUM_THREADS": "1", **waiting, **os.environ, "PYTHONPATH": path}
