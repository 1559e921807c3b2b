"""The database: connections, transactions and the schema's version; knows no table by name.

SQLite in WAL mode: readers never wait, writers take turns. Within a process they queue at a lock, which wakes the
next one at once, where SQLite's own busy handler would sleep; between processes `BEGIN IMMEDIATE` and the busy
timeout keep order, and no transaction ever has to be retried because it began as a reader.

Two kinds of transaction: *durable* ones are on the disk when they return (synchronous=FULL), *log* ones survive the
death of the process but may lose their last moments to a power failure (synchronous=NORMAL, no fsync on commit).

Who writes the log carries it from the WAL into the database a MiB at a time, four times as often as SQLite would: at
4 MiB that took a core for 10 to 20 ms, six times a second under load, and requests waited for that core.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url

from lmaas_server.storage.schema import bring_up_to_date

BUSY_SECONDS = 30.0
_PAGES = 1000
_LOG_PAGES = 250
"""Of 4 KiB in the WAL: so many, and they are carried into the database."""


class Database:
    """Connections to one database; thread-safe."""

    def __init__(self, url: str) -> None:
        """Name the database by an SQLAlchemy URL; nothing is opened yet."""
        self.url = make_url(url)
        if self.url.get_backend_name() != "sqlite":
            raise ValueError(f"database_url is {self.url!r}; this version serves sqlite:///PATH only.")
        if not self.url.database or self.url.database == ":memory:":
            raise ValueError("database_url names no file; write sqlite:///PATH.")
        Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        self._durable = self._engine("FULL", carry=_PAGES)
        self._log = self._engine("NORMAL", carry=_LOG_PAGES)
        self._writer = threading.Lock()

    def __repr__(self) -> str:
        return f"Database({self.url.render_as_string(hide_password=True)!r})"

    def _engine(self, synchronous: str, *, carry: int) -> Engine:
        engine = create_engine(self.url, pool_size=8, max_overflow=-1, connect_args={"timeout": BUSY_SECONDS})

        @event.listens_for(engine, "connect")
        def _prepare(raw: Any, _record: object) -> None:
            raw.isolation_level = None  # the driver begins nothing by itself
            cursor = raw.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute(f"PRAGMA synchronous={synchronous}")
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.execute("PRAGMA cache_size=-16000")
            cursor.execute(f"PRAGMA wal_autocheckpoint={carry}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get("writes", False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction that sees one state of the database and changes nothing."""
        with self._durable.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Connection]:
        """Open a transaction that is the only writer; commits at the end, rolls back on any error."""
        engine = self._durable if durable else self._log
        with self._writer, engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    def migrate(self) -> None:
        """Bring the schema to the newest version; on a current one this is a single SELECT."""
        with self.writing() as connection:
            bring_up_to_date(connection)

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._durable.dispose()
        self._log.dispose()
