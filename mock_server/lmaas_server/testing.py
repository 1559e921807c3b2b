"""The server in your own process, for tests: a real socket on a free port. Knows no test runner."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from lmaas_server.app import Server, create_app, server_of
from lmaas_server.jobs.processes import ForkServer
from lmaas_server.settings import Settings

if TYPE_CHECKING:
    from lmaas import AsyncLMaaS, LMaaS

__all__ = ["MockServer"]

_HOST = "127.0.0.1"


class MockServer:
    """A whole server in a thread: it trains, serves and learns like any other.

        with MockServer() as server, server.client() as client:
            ...

    Several at once do not meet: each has a port and a data directory of its own. What their jobs are forked from stays
    for the next: only the first job of your process waits until torch is imported.
    """

    def __init__(self, *, data_dir: Path | str | None = None, api_keys: tuple[str, ...] = (), **settings: Any) -> None:
        """Describe the server; nothing runs before `start`, which entering it as a context does.

        Args:
            data_dir: Where it keeps things; omitted, in a temporary directory that is removed at the end.
            api_keys: Keys it asks for; without any, everybody is welcome.
            settings: Any other field of `Settings`.
        """
        self._data_dir = None if data_dir is None else Path(data_dir)
        self._keys = api_keys
        self._given = settings
        self._temporary: str | None = None
        self._server: Server | None = None
        self._wsgi: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"MockServer({self.url!r})" if self._wsgi is not None else "MockServer(stopped)"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens.

        Raises:
            RuntimeError: It does not.
        """
        if self._wsgi is None:
            raise RuntimeError("the server is not running; use `with MockServer() as server:`, or call start()")
        return f"http://{_HOST}:{self._wsgi.server_port}"

    def start(self) -> Self:
        """Start, and return once requests are answered."""
        if self._wsgi is not None:
            raise RuntimeError("the server is running already")
        directory = self._data_dir
        if directory is None:
            self._temporary = tempfile.mkdtemp(prefix="lmaas-")
            directory = Path(self._temporary)
        keys = tuple(SecretStr(key) for key in self._keys)
        # What the environment says is for lmaas-server; a test's server is what the test says.
        defaults = {name: field.get_default() for name, field in Settings.model_fields.items()}
        given = {
            **defaults,
            "drain_seconds": 2.0,
            # Tests run beside each other, and torch with two threads crawls where a core is busy.
            "job_threads": 1,
            **self._given,
            "data_dir": directory,
            "api_keys": keys,
            "host": _HOST,
        }
        app = create_app(Settings(**given), forks=_forks(os.getpid()))
        self._server = server_of(app)
        self._server.start()
        self._wsgi = make_server(_HOST, 0, app, threaded=True, request_handler=_Handler)
        self._thread = threading.Thread(target=self._wsgi.serve_forever, args=(0.05,), name="mock-server", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop, and remove the temporary directory; a server that does not run stays as it is."""
        wsgi, server, thread = self._wsgi, self._server, self._thread
        self._wsgi = self._server = self._thread = None
        if server is not None:
            server.drain()
        if wsgi is not None and thread is not None:
            wsgi.shutdown()
            thread.join()
            wsgi.server_close()
        if server is not None:
            server.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None

    def client(self, **options: Any) -> LMaaS:
        """Return a client of this server; `options` are those of `LMaaS`."""
        from lmaas import LMaaS

        return LMaaS(**self._addressed(options))

    def async_client(self, **options: Any) -> AsyncLMaaS:
        """Return an async client of this server; `options` are those of `AsyncLMaaS`."""
        from lmaas import AsyncLMaaS

        return AsyncLMaaS(**self._addressed(options))

    def _addressed(self, options: dict[str, Any]) -> dict[str, Any]:
        key = {"api_key": self._keys[0]} if self._keys else {}
        return {"base_url": self.url, **key, **options}


class _Handler(WSGIRequestHandler):
    """Speaks HTTP/1.1, so that streams go out in chunks, and keeps quiet."""

    protocol_version = "HTTP/1.1"
    # Headers and body are two writes; Nagle's algorithm would hold the second back for 40 ms.
    disable_nagle_algorithm = True

    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing: a test's output is the test's."""


@cache
def _forks(_process: int) -> ForkServer:
    """Return what the jobs of all servers in this process are forked from; a forked process has another."""
    forks = ForkServer()
    atexit.register(forks.close)
    return forks
