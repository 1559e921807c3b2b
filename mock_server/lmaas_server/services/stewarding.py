"""The steward: a thread that looks after deployments whenever something has happened to them. Knows no chore.

    feedback, an alarm, the end of an update -> wake --+
    a moment that a chore has named --------------------+--> each chore looks at the deployment
    every few seconds, at all of them ------------------+

Nothing is kept here that a restart would lose: a chore reads from storage what is due, and does it so that doing it
twice is doing it once. So a wake that is lost costs a few seconds and no more, and so does one that another process
got: several stewards over one database do no harm.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from lmaas_server.records import DeploymentRecord
from lmaas_server.storage import Storage

__all__ = ["Chore", "Steward"]

logger = logging.getLogger("lmaas_server")

PATIENCE_SECONDS = 5.0
"""After which all deployments are looked at, whatever has happened."""
_BREATH_SECONDS = 0.1
"""Between rounds: what comes at once by the thousand is looked at ten times a second."""


class Chore(Protocol):
    """Something that is done for deployments."""

    def look(self, record: DeploymentRecord) -> float | None:
        """Do what is due; return the moment, by the server's clock, at which something may be next. None: not known."""


class Steward:
    """Looks at deployments; started once, closed once."""

    def __init__(self, storage: Storage, chores: Sequence[Chore], *, clock: Callable[[], float]) -> None:
        """Take what it needs; `clock` gives unix seconds, and a moment is due once it says so."""
        self._storage = storage
        self._chores = chores
        self._clock = clock
        self._news = threading.Condition()
        self._woken: set[str] = set()
        self._moments: dict[str, float] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"Steward({len(self._woken)} to look at, {len(self._moments)} moments)"

    def start(self) -> None:
        """Look at all deployments, and then whenever there is reason to."""
        self._thread = threading.Thread(target=self._run, name="steward", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; what is due then is done at the next start."""
        self._stopped.set()
        with self._news:
            self._news.notify_all()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def wake(self, deployments: Iterable[str]) -> None:
        """Say that something has happened to deployments; returns at once."""
        with self._news:
            self._woken.update(deployments)
            self._news.notify_all()

    def look_at(self, record: DeploymentRecord) -> None:
        """Have every chore look at a deployment; one that fails is tried again like any other."""
        moments = []
        for chore in self._chores:
            try:
                moments.append(chore.look(record))
            except Exception:
                logger.exception("%r could not look at %s", chore, record.name)
        named = [moment for moment in moments if moment is not None]
        with self._news:
            self._moments.pop(record.name, None)
            if named:
                self._moments[record.name] = min(named)

    def look_at_all(self) -> None:
        """Have every chore look at every deployment."""
        records = self._storage.deployments.all()
        with self._news:
            self._moments.clear()  # of those that are gone too
        for record in records:
            if not self._stopped.is_set():
                self.look_at(record)

    def _run(self) -> None:
        last = -PATIENCE_SECONDS
        while not self._stopped.is_set():
            try:
                if time.monotonic() - last >= PATIENCE_SECONDS:
                    last = time.monotonic()
                    self.look_at_all()
                else:
                    self._look_at_some()
            except Exception:
                logger.exception("the steward goes on after an error")
            self._stopped.wait(_BREATH_SECONDS)
            self._wait(last + PATIENCE_SECONDS - time.monotonic())

    def _look_at_some(self) -> None:
        now = self._clock()
        with self._news:
            names = {*self._woken, *(name for name, moment in self._moments.items() if moment <= now)}
            self._woken.clear()
        for name in sorted(names):
            record = self._storage.deployments.get(name)
            if record is not None and not self._stopped.is_set():
                self.look_at(record)

    def _wait(self, longest: float) -> None:
        """Wait for news or a moment, `longest` seconds at most."""
        with self._news:
            if self._woken or self._stopped.is_set():
                return
            moment = min(self._moments.values(), default=None)
            until = longest if moment is None else min(longest, moment - self._clock())
            if until > 0:
                self._news.wait(until)
