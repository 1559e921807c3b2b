"""What every version of every deployment does, counted as it happens. Knows no HTTP and computes no prediction.

    reports -> a queue -> a thread -> sums by the minute -> the database
                                   -> the watch for drift -> an event -> whoever subscribed

Who reports appends to a queue and goes on: no lock, no database, no arithmetic on the way of a prediction. The thread
counts ten times a second while there is something to count, and writes once a second: what a `kill -9` takes along is
the last second of the counters. Minutes become hours after two days, and after ninety days nothing is left of them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from lmaas_server.records import Json, ObservationRecord
from lmaas_server.services.alarms import Alarm, raised
from lmaas_server.services.figures import Figures, figures_of, with_shadows
from lmaas_server.services.ledger import (
    Agreed,
    Answered,
    Dropped,
    Failed,
    Found,
    Labelled,
    Ledger,
    Predicted,
    Report,
)
from lmaas_server.services.totals import Totals, over_processes
from lmaas_server.services.watching import Watch
from lmaas_server.storage import Storage

__all__ = ["MAX_WINDOW_SECONDS", "Observer"]

logger = logging.getLogger("lmaas_server")

_MINUTE = 60
_HOUR = 3600
_HOURLY_AFTER_SECONDS = 2 * 86_400
MAX_WINDOW_SECONDS = 90 * 86_400
"""How far back figures go."""
_BUSY_SECONDS = 0.1
_WRITE_SECONDS = 1.0
_CONDENSE_SECONDS = 3600.0
_AT_A_STRETCH = 20
_PAUSE_SECONDS = 0.002
"""Ten thousand reports a second are counted so."""
_MAX_PENDING = 20_000
"""Who reports when this much is waiting counts it himself: the queue cannot outgrow the thread."""


class Observer:
    """Counts what is reported, watches for drift, and tells the figures of a window of time."""

    def __init__(
        self,
        storage: Storage,
        *,
        role: Callable[[str, str], str | None],
        clock: Callable[[], float],
        watches: Callable[[], bool] = lambda: True,
        others: Callable[[], Iterable[Json]] = tuple,
    ) -> None:
        """`role(deployment, model)` is the present role of a version; champions are watched for drift.

        Of several processes over one database one watches, the one where `watches()` is true: what it answers itself
        is its sample. `others` gives the `state` of the other processes.
        """
        self._others = others
        self._storage = storage
        self._clock = clock
        self._since = clock()
        self._queue: deque[Report] = deque()
        self._lock = threading.RLock()  # over what is counted, and over the database's part of it
        self._ledger = Ledger(role=role, kept=storage.observations.detectors, watches=watches)
        self._listeners: list[Callable[[Alarm], None]] = []
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._condensed = 0.0

    def __repr__(self) -> str:
        return f"Observer({len(self._ledger.totals)} deployments, {len(self._queue)} reports waiting)"

    # What is reported.

    def predicted(
        self,
        deployment: str,
        model: str,
        *,
        role: str,
        rows: int,
        row_errors: int,
        seconds: float,
        confidences: Sequence[float],
    ) -> None:
        """Report a request that a version answered in `seconds`; `confidences` are the scores of what it showed."""
        self._report(Predicted(deployment, model, role, self._clock(), rows, row_errors, seconds, confidences))

    def answered(self, deployment: str, model: str, *, role: str, outputs: Sequence[Json], seconds: float) -> None:
        """Report the same by the outputs, which are looked through later."""
        self._report(Answered(deployment, model, role, self._clock(), outputs, seconds))

    def failed(self, deployment: str, model: str, *, role: str = "champion") -> None:
        """Report a request that a version could not answer, through no fault of who asked."""
        self._report(Failed(deployment, model, role, self._clock()))

    def labelled(self, deployment: str, model: str, *, right: bool | None, kind: str, value: object) -> None:
        """Report an item of feedback on what a version predicted; `right` is None where it is no label of a class."""
        self._report(Labelled(deployment, model, self._clock(), right, kind, value))

    def retracted(
        self, deployment: str, model: str, *, right: bool | None, kind: str, value: object, created_at: float
    ) -> None:
        """Report that an item of feedback was taken back: figures lose it in the span in which it was counted.

        The watch for drift does not forget it.
        """
        hourly = created_at < self._clock() - _HOURLY_AFTER_SECONDS
        then = created_at // _HOUR * _HOUR if hourly else created_at
        self._report(Labelled(deployment, model, then, right, kind, value, times=-1))

    def agreed(
        self,
        deployment: str,
        model: str,
        *,
        compared: int = 0,
        agreed: int = 0,
        measured: int = 0,
        difference: float = 0.0,
    ) -> None:
        """Report how a shadow compares with what was answered.

        Args:
            deployment: The deployment.
            model: The shadow.
            compared: Rows of labels or texts.
            agreed: Of those, the ones it gave the same answer for.
            measured: Rows of values.
            difference: The sum over those of their mean absolute difference.
        """
        self._report(Agreed(deployment, model, self._clock(), compared, agreed, measured, difference))

    def dropped(self, deployment: str, model: str) -> None:
        """Report a request that a shadow was not asked, because too many waited for it."""
        self._report(Dropped(deployment, model, self._clock()))

    # What is told.

    def figures(
        self, deployment: str, *, since: float, model: str | None = None, shadow: bool | None = None
    ) -> Figures:
        """Return what was done since a moment in unix seconds; the window begins with that moment's minute.

        Args:
            deployment: The deployment.
            since: Where the window begins.
            model: One version, whatever its role; omitted, all that answered, and the agreement of all shadows.
            shadow: Of that version only what it did as a shadow, or only what it did otherwise.
        """
        records = self._records(deployment, since, model)
        if model is None:
            return figures_of(with_shadows(records))
        return figures_of([record for record in records if shadow is None or record.shadow == shadow])

    def models(self, deployment: str, *, since: float) -> set[str]:
        """Return the versions that something was reported of since a moment."""
        return {record.model for record in self._records(deployment, since, None)}

    def watch_over(self, deployment: str, model: str) -> Watch | None:
        """Return a copy of the watch over a version; None if there is none yet."""
        with self._lock:
            self._count()
            watch = self._ledger.watch(deployment, model)
            return Watch.restored(watch.state()) if watch.requests or watch.error.seen else None

    def totals(self, deployment: str) -> Totals:
        """Return what a deployment has answered since the server began."""
        with self._lock:
            self._count()
            return over_processes(deployment, self._ledger.totals.get(deployment), self._others())

    def all_totals(self) -> dict[str, Totals]:
        """Return the totals by deployment."""
        with self._lock:
            self._count()
            others = list(self._others())
            names = {*self._ledger.totals, *(name for state in others for name in state["totals"])}
            return {name: over_processes(name, self._ledger.totals.get(name), others) for name in names}

    def state(self) -> Json:
        """Return what was counted here, as JSON, for the other processes of this server."""
        with self._lock:
            self._count()
            totals = {name: total.document() for name, total in self._ledger.totals.items()}
        return {"since": self._since, "totals": totals}

    def summary(self, deployment: str) -> Json:
        """Return what is shown with a deployment: requests and rows since the server began."""
        total = self.totals(deployment)
        return {
            "since": min([self._since, *(state["since"] for state in self._others())]),
            "requests": total.requests,
            "rows": total.rows,
            "row_errors": total.row_errors,
            "mean_ms": total.mean_ms,
        }

    def watch(self, callback: Callable[[Alarm], None]) -> None:
        """Have `callback` called with every alarm, once its event is written; from a thread of this object."""
        self._listeners.append(callback)

    def flush(self) -> None:
        """Count and write what was reported so far, and announce what was found."""
        with self._lock:
            self._count()
            self._write()
            found = self._ledger.take_found()
        for one in found:
            self._announce(one)

    def forget(self, deployment: str) -> None:
        """Drop what is kept in memory of a deployment that is gone: one of the same name begins at zero."""
        with self._lock:
            self._count()
            self._ledger.forget(deployment)

    def close(self) -> None:
        """Write what is left and end the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=10)
        self._tried(self.flush)

    def _report(self, report: Report) -> None:
        self._queue.append(report)
        if self._thread is None:
            self._start()
        elif len(self._queue) > _MAX_PENDING:
            self._count()

    def _count(self) -> None:
        with self._lock:
            self._ledger.count([self._queue.popleft() for _ in range(len(self._queue))])

    def _count_gently(self) -> None:
        """Count, a few at a time: who answers requests waits for the interpreter as long as this takes at a stretch."""
        end = time.monotonic() + _WRITE_SECONDS
        while self._queue and time.monotonic() < end and not self._stopped.wait(_PAUSE_SECONDS):
            with self._lock:
                self._ledger.count([self._queue.popleft() for _ in range(min(len(self._queue), _AT_A_STRETCH))])

    def _records(self, deployment: str, since: float, model: str | None) -> list[ObservationRecord]:
        begin = int(since) // _MINUTE * _MINUTE
        with self._lock:
            self._count()
            kept = self._storage.observations.since(deployment, begin, model=model)
            fresh = self._ledger.records(deployment)
        return [*kept, *(one for one in fresh if one.begin >= begin and model in {None, one.model})]

    # What the thread does.

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        written = time.monotonic()
        while not self._stopped.wait(_BUSY_SECONDS if self._queue else _WRITE_SECONDS):
            self._tried(self._count_gently)
            if time.monotonic() - written < _WRITE_SECONDS:
                continue
            self._tried(self.flush)
            self._tried(self._condense)
            written = time.monotonic()

    def _write(self) -> None:
        self._storage.observations.add(self._ledger.records(), self._ledger.moved(self._clock()))
        self._ledger.written()

    def _announce(self, found: Found) -> None:
        if (alarm := raised(self._storage, found)) is not None:
            for listener in self._listeners:
                self._tried(partial(listener, alarm))

    def _condense(self) -> None:
        now = self._clock()
        if now - self._condensed < _CONDENSE_SECONDS:
            return
        self._condensed = now
        self._storage.observations.condense(
            hourly_before=now - _HOURLY_AFTER_SECONDS, drop_before=now - MAX_WINDOW_SECONDS
        )

    @staticmethod
    def _tried(work: Callable[[], object]) -> None:
        """Do what must not end the thread: what could not be written is tried again a second later."""
        try:
            work()
        except Exception:
            logger.exception("observing goes on after an error")
