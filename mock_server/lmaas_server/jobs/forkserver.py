"""The program that jobs are forked from: `python -m lmaas_server.jobs.forkserver FD PARENT MODULES`; knows no job.

It imports what jobs need once and then, for every request, forks a process that has it all: a job computes some
hundredths of a second after it was asked for. It stays single-threaded, for a fork takes no threads along. The
standard library's fork server is not used: it imports the user's `__main__` again and speaks pickle.

Nothing outlives the server: its death is the end of the control socket (or a new parent, where somebody else holds
that socket open), upon which this process kills its children and goes; should it be killed itself, the kernel kills
the children (PR_SET_PDEATHSIG), and where there is no such thing they notice the end of their own channel.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import select
import signal
import socket
import sys
from typing import Any

import orjson

from lmaas_server.jobs.child import run

ORPHAN_CHECK_MS = 2_000
_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _MAPPED_BYTES = 512 << 20, 32 << 20
"""The second is the most that glibc takes."""


class Children:
    """The forked processes, each with its end of the channel to the server."""

    def __init__(self) -> None:
        self._channels: dict[int, socket.socket] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)

    def fork(self, channel: socket.socket, *inherited: socket.socket) -> int:
        """Fork a process that runs the job at the other end of `channel` and closes what it `inherited`."""
        here = os.getpid()
        pid = os.fork()
        if pid:
            self._channels[pid] = channel
            return pid
        try:
            self._die_with(here)
            for other in (*inherited, *self._channels.values()):
                other.close()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            run(channel)
        finally:
            with contextlib.suppress(Exception):
                sys.stderr.flush()
            os._exit(0)

    def reap(self) -> None:
        """Tell the server of every process that has ended, as the last line of its own channel."""
        for pid, channel in list(self._channels.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                self._farewell(channel, os.waitstatus_to_exitcode(status))
                del self._channels[pid]

    def kill(self, pid: int) -> bool:
        """Kill one of the processes; False if it is none of them, or gone already."""
        if pid not in self._channels:
            return False
        os.kill(pid, signal.SIGKILL)
        return True

    def kill_all(self) -> None:
        """Kill every process."""
        for pid in self._channels:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _die_with(self, parent: int) -> None:
        if hasattr(self._libc, "prctl"):
            self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)

    @staticmethod
    def _farewell(channel: socket.socket, code: int) -> None:
        said: dict[str, Any] = {"type": "exited", **({"signal": -code} if code < 0 else {"status": code})}
        with contextlib.suppress(OSError):
            # The line begins by ending whatever line the process was killed in.
            channel.send(b"\n" + orjson.dumps(said) + b"\n", socket.MSG_DONTWAIT)
        channel.close()


def serve(control: socket.socket, parent: int) -> None:
    """Answer requests until the server is gone."""
    children = Children()
    ears, wake = socket.socketpair()
    ears.setblocking(False)
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    poll = select.poll()
    for sock in (control, ears):
        poll.register(sock, select.POLLIN)
    try:
        while os.getppid() == parent:
            ready = {descriptor for descriptor, _ in poll.poll(ORPHAN_CHECK_MS)}
            if ears.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    ears.recv(4096)
            children.reap()
            if control.fileno() in ready and not _answer(control, children, ears, wake):
                return
    finally:
        children.kill_all()


def _answer(control: socket.socket, children: Children, *own: socket.socket) -> bool:
    """Do what the next request asks; False if the server is gone. It sends one at a time and awaits the answer."""
    line, descriptors, _, _ = socket.recv_fds(control, 4096, 1)
    if not line:
        return False
    request = orjson.loads(line)
    if request["do"] == "fork":
        answer: dict[str, Any] = {"pid": children.fork(socket.socket(fileno=descriptors[0]), control, *own)}
    else:
        answer = {"killed": children.kill(request["pid"])}
    control.sendall(orjson.dumps(answer) + b"\n")
    return True


def keep_memory() -> None:
    """Have glibc keep what is freed: a step of training frees what the next one needs again.

    Giving it back and clearing it anew was 400 page faults a step of MLP(512, 512) on two threads, and a fifth of the
    steps' system time; the second thread waits while the first does it.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def main() -> None:
    """Import the modules that were named, and serve."""
    descriptor, parent, modules = sys.argv[1:4]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keep_memory()
    control = socket.socket(fileno=int(descriptor))
    for module in filter(None, modules.split(",")):
        importlib.import_module(module)
    # What was imported is never garbage: left out of collections, its pages stay shared with the children.
    gc.collect()
    gc.freeze()
    serve(control, int(parent))


if __name__ == "__main__":
    main()
