"""Both clients behind one face, and a proxy that loses answers."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from lmaas import AsyncLMaaS, LMaaS

sys.path.insert(0, str(Path(__file__).parent))  # for killable: importlib mode adds no paths

DIGITS = Path(__file__).parents[2] / "examples" / "data" / "digits.npz"


class Blocking:
    """An async object used from blocking code: what a scenario needs to run unchanged with both clients."""

    def __init__(self, target, runner):
        self._target, self._runner = target, runner

    def _settle(self, value):
        if inspect.iscoroutine(value):
            return self._settle(self._runner.run(value))
        if hasattr(value, "__aiter__") and not hasattr(value, "__aenter__"):
            return self._runner.run(_collect(value))
        return value

    def __getattr__(self, name):
        value = getattr(self._target, name)
        return Blocking(value, self._runner) if callable(value) or "Resource" in str(type(value).__mro__) else value

    def __call__(self, *args, **kwargs):
        return self._settle(self._target(*args, **kwargs))


async def _collect(items):
    return [item async for item in items]


@pytest.fixture(params=["sync", "async"])
def client(request, lmaas_server) -> Iterator[LMaaS]:
    """The two clients in turn, both usable as if they were the blocking one."""
    if request.param == "sync":
        with LMaaS(base_url=lmaas_server.url) as plain:
            yield plain
        return
    with asyncio.Runner() as runner:
        target = AsyncLMaaS(base_url=lmaas_server.url)
        yield Blocking(target, runner)
        runner.run(target.close())


@pytest.fixture(scope="session")
def digits():
    """Images (1797, 8, 8) and labels (1797,) of real handwriting."""
    with np.load(DIGITS) as file:
        return file["x"], file["y"]


class LosingProxy:
    """Forwards a server's bytes, except the answers to `lose`: the work is done and the connection is cut."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.lose: list[bytes] = []
        """Beginnings of request lines, such as `POST /v1/jobs`; each loses one answer."""
        self.seen: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._upstream) as server, contextlib.suppress(OSError):
            line = {"now": b""}
            threading.Thread(target=self._pump, args=(client, server, line), daemon=True).start()
            while answer := server.recv(65536):
                if line["now"] in self.lose:
                    self.lose.remove(line["now"])
                    client.shutdown(socket.SHUT_RDWR)  # the answer never arrives
                    return
                client.sendall(answer)

    def _pump(self, client: socket.socket, server: socket.socket, line: dict[str, bytes]) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                head = data.split(b"\r\n", 1)[0]
                if head.endswith(b" HTTP/1.1"):
                    line["now"] = head.removesuffix(b" HTTP/1.1")
                    self.seen.append(line["now"])
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Stop accepting."""
        self._listener.close()


@pytest.fixture
def proxy(lmaas_server) -> Iterator[LosingProxy]:
    """A proxy before the live server."""
    losing = LosingProxy(lmaas_server.url)
    yield losing
    losing.close()
