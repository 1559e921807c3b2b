"""What stands behind an application: started once, closed once, and counted. Knows no route and makes no service."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from lmaas_server.http.metrics import Metrics, Traffic
from lmaas_server.http.sse import Streams
from lmaas_server.jobs.runner import JobRunner
from lmaas_server.lock import DirectoryLock
from lmaas_server.services.deploying import DeployingService
from lmaas_server.services.figures import seconds_of
from lmaas_server.services.observing import Observer
from lmaas_server.services.prediction_log import PredictionLog
from lmaas_server.services.predictors import Predictors
from lmaas_server.services.shadowing import Shadows
from lmaas_server.services.stewarding import Steward
from lmaas_server.services.totals import Totals
from lmaas_server.services.uploads import UploadService
from lmaas_server.settings import Settings
from lmaas_server.several import Several, lead, of_all
from lmaas_server.storage import Artifacts, Storage, sweep

__all__ = ["Server", "metrics_of"]

logger = logging.getLogger("lmaas_server")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Server:
    """What stands behind an application: started once, closed once."""

    settings: Settings
    storage: Storage
    artifacts: Artifacts
    runner: JobRunner
    steward: Steward
    uploads: UploadService
    deploying: DeployingService
    predictors: Predictors
    log: PredictionLog
    observer: Observer
    shadows: Shadows
    streams: Streams
    clock: Callable[[], float]
    lock: DirectoryLock | None
    draining: threading.Event
    several: Several | None

    def start(self, *, tidy: bool = True) -> None:
        """Go on with the work that was under way; before it, tidy up what a crash left, unless another process has."""
        if tidy:
            self.storage.idempotency.forget_unfinished()
            self.storage.idempotency.purge(self.clock() - self.settings.idempotency_hours * 3600)
            sweep(self.storage, self.artifacts)
            self.uploads.purge()
        if self.several is None:
            lead(self.runner, self.steward)
        else:
            self.several.rounds.start()
        self.deploying.start()

    def drain(self) -> None:
        """Refuse new requests and end event streams; those under way are answered."""
        self.draining.set()

    def close(self) -> None:
        """Stop: jobs are checkpointed and go on at the next start, and what was answered is on the disk."""
        self.drain()
        if self.several is not None:
            self.several.rounds.stop()
            self.several.noticing.close()
        self.steward.close()
        self.runner.stop(self.settings.drain_seconds)
        self.deploying.close()
        self.shadows.close()
        self.log.close()
        self.observer.close()
        self.storage.close()
        if self.lock is not None:
            self.lock.release()
        if self.several is not None:
            self.several.crew.leave()

    def watch_models(self, listener: Callable[[str], None]) -> None:
        """Have `listener` told of every version that was loaded; it must not take long."""
        self.predictors.watch(listener)

    def not_ready(self) -> str | None:
        """Say why requests are not welcome; None if they are."""
        if self.draining.is_set():
            return "The server is stopping."
        try:
            self.storage.deployments.changes()
        except Exception:
            logger.exception("the database does not answer")
            return "The database does not answer."
        return None


def metrics_of(server: Server) -> Metrics:
    """Return the counters, with gauges on what this server holds."""
    sums = None if server.several is None else server.several.sums
    metrics = Metrics(tuple if sums is None else lambda: sums.others("metrics"))
    jobs = server.storage.jobs
    metrics.gauge(
        "lmaas_jobs",
        "Jobs that have not ended, by status.",
        lambda: {status: float(jobs.count(status)) for status in ("queued", "running", "paused")},
    )

    def predictors() -> dict[str, float]:
        return {"models": float(len(server.predictors)), "bytes": float(server.predictors.bytes)}

    def streams() -> dict[str, float]:
        return {"open": float(server.streams.open)}

    metrics.gauge("lmaas_predictors", "Models in memory, and their bytes.", of_all(sums, "predictors", predictors))
    metrics.gauge("lmaas_streams", "Event streams that are open.", of_all(sums, "streams", streams))
    metrics.deployments(lambda: {name: _traffic(total) for name, total in server.observer.all_totals().items()})
    if sums is not None:
        sums.add("metrics", metrics.state)
    return metrics


def _traffic(total: Totals) -> Traffic:
    times = [(seconds_of(bucket), count) for bucket, count in total.latency.items()]
    return Traffic(rows=total.rows, row_errors=total.row_errors, seconds=total.seconds, times=times)
