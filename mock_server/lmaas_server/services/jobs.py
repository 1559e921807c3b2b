"""Jobs watched and steered: listed, followed, cancelled, paused, resumed. Knows no kind of work and no HTTP.

A wish is written down before the process hears of it, so that it is not lost with either; whichever end is recorded
first stands, and every other wish is told so by a conflict.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lmaas_server.errors import ConflictError, MissingError
from lmaas_server.jobs.runner import JobRunner
from lmaas_server.records import CheckpointRecord, EventRecord, JobRecord, PageRequest
from lmaas_server.storage import Page, Storage
from lmaas_server.storage.jobs import ENDED

__all__ = ["JobService"]

SETTLE_SECONDS = 2.0
"""How long a wish waits to see itself granted before it answers with the job as it is."""
_RACES = 3
"""Between reading a status and acting on it a job may move on; then it is read again, this often."""


class JobService:
    """Jobs of every kind."""

    def __init__(
        self,
        storage: Storage,
        runner: JobRunner,
        *,
        clock: Callable[[], float],
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._jobs = storage.jobs
        self._runner = runner
        self._clock = clock
        self._settle_seconds = settle_seconds

    def __repr__(self) -> str:
        return f"JobService({self._runner!r})"

    def get(self, id: str) -> JobRecord:
        """Return a job.

        Raises:
            MissingError: `job_not_found`.
        """
        record = self._jobs.get(id)
        if record is None:
            message = f"There is no job {id!r}; list them with GET /v1/jobs."
            raise MissingError(message, code="job_not_found", param="job")
        return record

    def page(
        self,
        page: PageRequest,
        *,
        type: str | None = None,
        status: str | None = None,
        deployment: str | None = None,
        model: str | None = None,
    ) -> Page[JobRecord]:
        """Return one page of the jobs."""
        return self._jobs.page(page, type=type, status=status, deployment=deployment, model=model)

    def cancel(self, id: str) -> JobRecord:
        """Stop a job for good: at once if it waits or is paused, at its next step if it runs.

        Raises:
            MissingError: `job_not_found`.
            ConflictError: `job_not_cancellable`, it has ended, or its outcome is being recorded.
        """
        for _ in range(_RACES):
            job = self.get(id)
            now = self._clock()
            moved = self._jobs.move(
                id, to="cancelled", of=["queued", "paused"], now=now, message="Cancelled.", finished_at=now
            )
            if moved is not None:
                self._runner.discard(id)
                return moved
            if self._jobs.ask(id, "cancel") is not None:
                return self._granted(id, "cancel")
            if job.status in ENDED:
                break
        raise _conflict(self.get(id), "cancelled", "job_not_cancellable")

    def pause(self, id: str) -> JobRecord:
        """Stop a job where it is; one that runs writes a checkpoint first.

        Raises:
            MissingError: `job_not_found`.
            ConflictError: `job_not_pausable`: it is paused or has ended, or is of a kind that begins again anyway.
        """
        for _ in range(_RACES):
            job = self.get(id)
            _check_pausable(job)
            moved = self._jobs.move(id, to="paused", of=["queued"], now=self._clock(), message="Paused.")
            if moved is not None:
                return moved
            if self._jobs.ask(id, "pause") is not None:
                return self._granted(id, "pause")
            if job.status != "queued":
                break
        raise _conflict(self.get(id), "paused", "job_not_pausable")

    def resume(self, id: str) -> JobRecord:
        """Queue a paused job again; it goes on from its checkpoint.

        Raises:
            MissingError: `job_not_found`.
            ConflictError: `job_not_resumable`, it is not paused.
        """
        self.get(id)
        moved = self._jobs.move(id, to="queued", of=["paused"], now=self._clock(), message="Resumed.", attempt=0)
        if moved is None:
            raise _conflict(self.get(id), "resumed", "job_not_resumable")
        self._runner.wake()
        return moved

    def events_page(self, id: str, page: PageRequest) -> Page[EventRecord]:
        """Return one page of a job's events.

        Raises:
            MissingError: `job_not_found`, `after_not_found`.
        """
        self.get(id)
        after = 0 if page.after is None else self._jobs.event_seq(id, page.after)
        if page.order == "desc" and after == 1:
            return Page((), has_more=False)
        found = self._jobs.events(id, after_seq=after, limit=page.limit + 1, order=page.order)
        return Page(tuple(found[: page.limit]), has_more=len(found) > page.limit)

    def follow(self, id: str, *, after_seq: int, timeout: float) -> tuple[Sequence[EventRecord], bool]:
        """Wait up to `timeout` seconds for events after `after_seq`; return them, and whether they are the last."""
        events = self._jobs.wait_for_events(id, after_seq=after_seq, timeout=timeout)
        if events:
            last = events[-1]
            return events, last.type == "status" and last.data.get("status") in ENDED
        return events, self.get(id).status in ENDED

    def checkpoints(self, id: str) -> list[CheckpointRecord]:
        """Return the job's checkpoints, newest first.

        Raises:
            MissingError: `job_not_found`.
        """
        self.get(id)
        return self._jobs.checkpoints(id)

    def _granted(self, id: str, wish: str) -> JobRecord:
        """Pass the wish on and wait a moment for the job to stop running."""
        self._runner.tell(id, wish)
        self._jobs.bell.wait(id, lambda: self.get(id).status != "running", self._settle_seconds)
        return self.get(id)


def _check_pausable(job: JobRecord) -> None:
    """Only what writes checkpoints can go on where it stopped."""
    short = job.type == "evaluation" or (job.type == "update" and job.request["strategy"] != "retrain")
    if job.status == "running" and short:
        raise ConflictError(
            f"The {job.type} {job.id} takes seconds and keeps no checkpoint; wait for it, or cancel it.",
            code="job_not_pausable",
            param="job",
        )


def _conflict(job: JobRecord, wish: str, code: str) -> ConflictError:
    state = "being recorded as finished" if job.status == "running" else job.status
    hint = {"paused": " Resume it first, or cancel it." if wish != "cancelled" else ""}.get(job.status, "")
    return ConflictError(f"The job {job.id} cannot be {wish}: it is {state}.{hint}", code=code, param="job")
