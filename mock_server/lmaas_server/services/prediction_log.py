"""The log of predictions: answers go out at once, rows go to the database many in one transaction.

Knows storage, and no model. Whoever reads predictions or says something about them calls `flush` first, so that
nobody ever misses one that was answered, be it by another process of the same server.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from pydantic_core import from_json

from lmaas_server.errors import UnavailableError
from lmaas_server.records import PredictionRecord
from lmaas_server.services.crew_log import CrewLog
from lmaas_server.services.npy import Array, array_of

__all__ = ["PredictionLog", "logged_inputs"]

logger = logging.getLogger("lmaas_server")

# What comes within this time shares a transaction; a flush does not wait for it.
_LINGER_SECONDS = 0.01
_RETRY_SECONDS = 0.5
_MAX_PENDING = 20_000
_MAX_PENDING_BYTES = 256 * 2**20


class PredictionLog:
    """Writes predictions from one thread, in the order they came."""

    def __init__(self, write: Callable[[Sequence[PredictionRecord]], None], *, crew: CrewLog | None = None) -> None:
        """`crew` are the logs of the other processes of this server; omitted, there are none."""
        self._write = write
        self._crew = crew
        self._condition = threading.Condition()
        self._pending: list[PredictionRecord] = []
        self._pending_bytes = 0
        self._added = 0
        self._written = 0
        self._urgent = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"PredictionLog(added={self._added}, written={self._written})"

    def add(self, record: PredictionRecord) -> None:
        """Hand a prediction to the writer and return at once.

        Raises:
            UnavailableError: The writer cannot keep up, or the disk refuses what it writes.
        """
        with self._condition:
            if self._closed or len(self._pending) >= _MAX_PENDING or self._pending_bytes >= _MAX_PENDING_BYTES:
                raise UnavailableError("The log of predictions is full; try again.", code="log_full", retry_after=1.0)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
                self._thread.start()
            self._pending.append(record)
            self._pending_bytes += len(record.inputs or b"")
            self._added += 1
            if self._crew is not None:
                self._crew.added(self._added)
            if len(self._pending) == 1:
                self._condition.notify_all()

    def flush(self, *, timeout: float = 10.0) -> None:
        """Wait until everything answered so far is in the database.

        Raises:
            UnavailableError: It is not after `timeout` seconds.
        """
        end = time.monotonic() + timeout
        if not self._flushed(timeout) or (self._crew is not None and not self._crew.wait(end)):
            message = "The log of predictions could not be written in time; try again."
            raise UnavailableError(message, code="log_behind", retry_after=1.0)

    def close(self) -> None:
        """Write what is left and end the thread."""
        with self._condition:
            self._closed = self._urgent = True
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _flushed(self, timeout: float) -> bool:
        with self._condition:
            target = self._added
            if self._written >= target:
                return True
            self._urgent = True
            self._condition.notify_all()
            return self._condition.wait_for(lambda: self._written >= target, timeout)

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            while not self._stored(batch):
                if self._closed:
                    return
                time.sleep(_RETRY_SECONDS)
            with self._condition:
                self._written += len(batch)
                if self._crew is not None:
                    self._crew.written(self._written)
                self._condition.notify_all()

    def _next_batch(self) -> list[PredictionRecord] | None:
        """Wait for predictions and take all there are; None when the log is closed and empty."""
        with self._condition:
            self._condition.wait_for(lambda: self._pending or self._closed)
            if not self._pending:
                return None
            self._condition.wait_for(lambda: self._urgent, _LINGER_SECONDS)
            self._urgent = self._closed
            batch, self._pending, self._pending_bytes = self._pending, [], 0
            return batch

    def _stored(self, batch: Sequence[PredictionRecord]) -> bool:
        try:
            self._write(batch)
        except Exception:
            logger.exception("%d predictions could not be logged; trying again", len(batch))
            return False
        return True


def logged_inputs(record: PredictionRecord) -> list[Any] | Array | None:
    """Return the rows a logged prediction was asked about, as they came; None where they were not kept."""
    if record.inputs is None:
        return None
    if record.inputs_type == "application/x-npy":
        return array_of(record.inputs)
    try:
        rows: list[Any] = orjson.loads(record.inputs)["inputs"]
    except orjson.JSONDecodeError:
        # NaN and Infinity are read here as they were when the request came.
        rows = from_json(record.inputs)["inputs"]
    return rows
