"""Runs the queued jobs, as many at once as the settings say; knows no kind of work and no HTTP."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from lmaas_server.jobs.kinds import JobKind
from lmaas_server.jobs.processes import ForkServer
from lmaas_server.jobs.supervision import Supervision, discard
from lmaas_server.records import JobRecord
from lmaas_server.settings import Settings
from lmaas_server.storage import Artifacts, Storage
from lmaas_server.storage.jobs import WISHES

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.0
"""Between attempts to read a queue that cannot be read, for instance because the disk is full."""


class JobRunner:
    """Takes jobs from the queue in the order they came and supervises each in a thread and a process of its own."""

    def __init__(
        self,
        storage: Storage,
        artifacts: Artifacts,
        *,
        kinds: Mapping[str, JobKind],
        settings: Settings,
        clock: Callable[[], float] = time.time,
        forks: ForkServer | None = None,
    ) -> None:
        """Take what it needs; nothing runs before `start`.

        Args:
            storage: Where jobs are queued and written down.
            artifacts: Where checkpoints and outcomes lie.
            kinds: How each type of job is prepared and committed.
            settings: `max_jobs`, `job_threads`, `device` and `drain_seconds`.
            clock: Unix seconds.
            forks: A fork server to share; omitted, one of its own, which ends with it.
        """
        self._storage = storage
        self._artifacts = artifacts
        self._kinds = kinds
        self._settings = settings
        self._clock = clock
        self._owns_forks = forks is None
        self._forks = forks or ForkServer()
        self._news = threading.Condition()
        self._queued = True
        self._stopping = False
        self._active: dict[str, tuple[Supervision, threading.Thread]] = {}
        self._dispatcher: threading.Thread | None = None
        self._listeners: list[Callable[[JobRecord], object]] = []

    def __repr__(self) -> str:
        return f"JobRunner(active={sorted(self._active)}, {self._forks})"

    def start(self) -> None:
        """Queue again what a dead server left running, and begin to take jobs."""
        self._storage.jobs.requeue_orphans(self._clock())
        self._dispatcher = threading.Thread(target=self._dispatch, name="job-dispatcher", daemon=True)
        self._dispatcher.start()

    def listen(self, callback: Callable[[JobRecord], object]) -> None:
        """Have `callback` called, from a thread of this object, when a job has ended or stopped running."""
        self._listeners.append(callback)

    def prewarm(self) -> None:
        """Start the fork server, so that the next job begins at once; returns while it imports."""
        self._forks.start()

    def wake(self) -> None:
        """Say that a job was queued."""
        with self._news:
            self._queued = True
            self._news.notify_all()

    def tell(self, job: str, wanted: str) -> None:
        """Pass on what storage was told is `wanted` of a running job."""
        with self._news:
            found = self._active.get(job)
        if found is not None:
            found[0].tell(wanted)

    def patrol(self) -> None:
        """Do what other processes over the same database want: begin what they queued, pass their wishes on."""
        if self._storage.jobs.is_queued():
            self.wake()
        with self._news:
            active = list(self._active)
        for job, wanted in (self._storage.jobs.wishes(active) if active else {}).items():
            if wanted in WISHES:
                self.tell(job, wanted)

    def discard(self, job: str) -> None:
        """Remove what a job that was cancelled before it ran on has left."""
        discard(self._storage, self._artifacts, job)

    def stop(self, drain: float | None = None) -> None:
        """Stop in order: jobs write a checkpoint and are queued again; after `drain` seconds they are killed.

        A job that is being committed is waited for. Afterwards no process of this runner is left.
        """
        end = time.monotonic() + (self._settings.drain_seconds if drain is None else drain)
        with self._news:
            self._stopping = True
            self._news.notify_all()
        if self._dispatcher is not None:
            self._dispatcher.join()
        active = list(self._active.values())
        for supervision, _ in active:
            supervision.interrupt()
        for _, thread in active:
            thread.join(max(0.0, end - time.monotonic()))
        for supervision, _ in active:
            supervision.kill()
        if self._owns_forks:
            self._forks.close()
        for _, thread in active:
            thread.join()

    def _dispatch(self) -> None:
        while self._may_take():
            try:
                job = self._storage.jobs.claim_next(self._clock())
            except Exception:
                log.exception("the queue of jobs cannot be read")
                threading.Event().wait(PATIENCE_SECONDS)
                continue
            if job is None:
                continue
            supervision = Supervision(
                job,
                self._kinds[job.type],
                storage=self._storage,
                artifacts=self._artifacts,
                forks=self._forks,
                clock=self._clock,
                threads=self._settings.job_threads,
                device=self._settings.device,
            )
            thread = threading.Thread(target=self._supervise, args=[supervision], name=job.id, daemon=True)
            with self._news:
                self._active[job.id] = (supervision, thread)
                self._queued = True  # there may be another behind it
            thread.start()

    def _may_take(self) -> bool:
        """Wait until there is news of the queue and room for a job; False once the runner stops."""
        with self._news:
            self._news.wait_for(
                lambda: self._stopping or (self._queued and len(self._active) < self._settings.max_jobs)
            )
            self._queued = False
            return not self._stopping

    def _supervise(self, supervision: Supervision) -> None:
        try:
            supervision.run()
        except Exception:
            log.exception("%s could not be recorded", supervision.job.id)
        finally:
            with self._news:
                del self._active[supervision.job.id]
                self._queued = True
                self._news.notify_all()
            for listener in self._listeners:
                listener(supervision.job)
