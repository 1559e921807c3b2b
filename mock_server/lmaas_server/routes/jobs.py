"""Jobs over HTTP: asked for, watched, steered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lmaas.types import (
    Checkpoint,
    EvaluationRequest,
    Job,
    JobEvent,
    JobRequest,
    TrainingRequest,
    UpdateRequest,
)
from lmaas_server.http.gateway import dumped
from lmaas_server.http.operation import Call, operation
from lmaas_server.http.paging import Query, list_of
from lmaas_server.http.sse import Message, More, Streams, last_event_of
from lmaas_server.records import CheckpointRecord, EventRecord, JobRecord
from lmaas_server.routes.slicing import sliced
from lmaas_server.services.evaluating import EvaluationService
from lmaas_server.services.jobs import JobService
from lmaas_server.services.training import TrainingService
from lmaas_server.services.updating import UpdateService

__all__ = ["JobRoutes"]

_TYPES = ("training", "evaluation", "update")
_STATUSES = ("queued", "running", "paused", "succeeded", "failed", "cancelled")
_FILTERS = (
    Query(name="type", about="Only jobs of this type.", choices=_TYPES),
    Query(name="status", about="Only jobs in this status.", choices=_STATUSES),
    Query(name="deployment", about="Only updates of this deployment."),
    Query(name="model", about="Only jobs that made or measured this version."),
)
_EVENT_STREAM = "text/event-stream"


class JobRoutes:
    """Endpoints of `/v1/jobs`."""

    def __init__(
        self,
        jobs: JobService,
        *,
        training: TrainingService,
        evaluating: EvaluationService,
        updating: UpdateService,
        streams: Streams,
    ) -> None:
        self._jobs = jobs
        self._streams = streams
        self._create: dict[type[Any], Callable[..., JobRecord]] = {
            TrainingRequest: training.create,
            EvaluationRequest: evaluating.create,
            UpdateRequest: updating.create,
        }

    def __repr__(self) -> str:
        return f"JobRoutes({self._jobs!r})"

    @operation("POST", "/v1/jobs", tag="jobs", body=JobRequest, answer=Job, errors=(404, 409, 422))
    def create(self, call: Call) -> Job:
        """Start a training, an evaluation or an update; it runs in the background."""
        return _wire(self._create[type(call.body)](call.body, request_key=call.request_key))

    @operation("GET", "/v1/jobs", tag="jobs", answer=Job, listed=True, query=_FILTERS, errors=(404, 422))
    def list(self, call: Call) -> dict[str, Any]:
        """List the jobs."""
        page = self._jobs.page(call.page, **call.query)
        return list_of([_wire(record) for record in page.items], has_more=page.has_more)

    @operation("GET", "/v1/jobs/<job>", tag="jobs", answer=Job, errors=(404,))
    def retrieve(self, call: Call, job: str) -> Job:
        """Get a job."""
        return _wire(self._jobs.get(job))

    @operation("POST", "/v1/jobs/<job>/cancel", tag="jobs", answer=Job, errors=(404, 409))
    def cancel(self, call: Call, job: str) -> Job:
        """Stop a job for good; one that runs ends at its next step."""
        return _wire(self._jobs.cancel(job))

    @operation("POST", "/v1/jobs/<job>/pause", tag="jobs", answer=Job, errors=(404, 409))
    def pause(self, call: Call, job: str) -> Job:
        """Stop a job where it is; it writes a checkpoint and can go on from there."""
        return _wire(self._jobs.pause(job))

    @operation("POST", "/v1/jobs/<job>/resume", tag="jobs", answer=Job, errors=(404, 409))
    def resume(self, call: Call, job: str) -> Job:
        """Let a paused job go on."""
        return _wire(self._jobs.resume(job))

    @operation(
        "GET",
        "/v1/jobs/<job>/events",
        tag="jobs",
        answer=JobEvent,
        listed=True,
        order="asc",
        gives=("application/json", _EVENT_STREAM),
        errors=(404, 422, 503),
    )
    def events(self, call: Call, job: str) -> Any:
        """List a job's events, oldest first; with `Accept: text/event-stream`, follow them until the job has ended.

        A stream ends with `data: [DONE]`; one that broke off goes on after the event named in `Last-Event-ID`.
        """
        if _EVENT_STREAM in call.request.headers.get("Accept", ""):
            record = self._jobs.get(job)
            after = last_event_of(call.request.headers.get("Last-Event-ID"), record.id)
            return self._streams.respond(self._followed(record.id, after))
        page = self._jobs.events_page(job, call.page)
        return list_of([_event(record) for record in page.items], has_more=page.has_more)

    @operation(
        "GET",
        "/v1/jobs/<job>/checkpoints",
        tag="jobs",
        answer=Checkpoint,
        listed=True,
        errors=(404, 422),
    )
    def checkpoints(self, call: Call, job: str) -> dict[str, Any]:
        """List the checkpoints a job keeps."""
        items, more = sliced([_checkpoint(record) for record in self._jobs.checkpoints(job)], call.page)
        return list_of(items, has_more=more)

    def _followed(self, job: str, after: int) -> More:
        seen, waits = after, False

        def more(timeout: float) -> tuple[Sequence[Message], bool]:
            nonlocal seen, waits
            # Whoever comes back after the last event of an ended job is told at once.
            events, ended = self._jobs.follow(job, after_seq=seen, timeout=timeout if waits else 0.0)
            waits = True
            if events:
                seen = events[-1].seq
            return [_message(event) for event in events], ended

        return more


def _message(record: EventRecord) -> Message:
    return Message(id=str(record.seq), event=record.type, data=dumped(_event(record)))


def _wire(record: JobRecord) -> Job:
    return Job.model_validate(
        {
            "id": record.id,
            "type": record.type,
            "status": record.status,
            "created_at": record.created_at,
            "started_at": record.started_at,
            "finished_at": record.finished_at,
            "progress": record.progress,
            "metrics": record.metrics,
            "model": record.model,
            "deployment": record.deployment,
            "result": record.result,
            "error": record.error,
            "request": record.request,
            "trigger": record.trigger,
            "seed": record.seed,
        }
    )


def _event(record: EventRecord) -> JobEvent:
    return JobEvent.model_validate(
        {
            "id": record.id,
            "seq": record.seq,
            "type": record.type,
            "level": record.level,
            "message": record.message,
            "data": record.data,
            "created_at": record.created_at,
        }
    )


def _checkpoint(record: CheckpointRecord) -> Checkpoint:
    return Checkpoint.model_validate(
        {
            "id": record.id,
            "job": record.job,
            "step": record.step,
            "epoch": record.epoch,
            "metrics": record.metrics,
            "bytes": record.bytes,
            "created_at": record.created_at,
        }
    )
