"""Jobs: asked for, watched, waited for. Knows no training and no transport."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, Literal, Unpack

from lmaas import types
from lmaas._encode import encoded
from lmaas._flow import DriverT, Raw, Resource, call, endpoint
from lmaas._listing import Listing, list_query, listing
from lmaas._progress import ProgressOption
from lmaas._request import CallOptions, Flow, Request
from lmaas._stream import EmitFlow, streaming
from lmaas.resources._diary import entries
from lmaas.resources._ids import JSON_CONTENT, DeploymentRef, JobRef, ModelRef, id_of, model_id, segment
from lmaas.resources._waiting import settled, waited, waited_all


def created(
    request: types.TrainingRequest | types.EvaluationRequest | types.UpdateRequest, options: CallOptions
) -> Flow[types.Job]:
    """Ask for the job."""
    return call(Request("POST", "/v1/jobs", body=encoded(request), headers=JSON_CONTENT, options=options), types.Job)


class Jobs(Resource[DriverT], Generic[DriverT]):
    """Training, evaluation and update jobs."""

    @property
    def with_raw_response(self) -> Jobs[Raw[DriverT]]:
        """The same methods, giving status, headers and body beside the value."""
        return Jobs(self.core.as_raw())

    @endpoint
    def create(
        self,
        request: types.TrainingRequest | types.EvaluationRequest | types.UpdateRequest,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Job]:
        """Start a job from a request in full; `client.train`, `evaluate` and `update` write them for you."""
        return created(request, options)

    @listing
    def list(
        self,
        *,
        type: Literal["training", "evaluation", "update"] | None = None,
        status: Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"] | None = None,
        deployment: DeploymentRef | None = None,
        model: ModelRef | None = None,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        **options: Unpack[CallOptions],
    ) -> Listing[types.Job]:
        """List all jobs, newest first, `limit` to a page; `model` is the version a job made or measured."""
        query = list_query(
            after=after,
            limit=limit,
            order=order,
            type=type,
            status=status,
            deployment=None if deployment is None else id_of(deployment),
            model=None if model is None else model_id(model),
        )
        return Listing("/v1/jobs", types.Page[types.Job], query, options)

    @endpoint
    def retrieve(self, job: JobRef, **options: Unpack[CallOptions]) -> Flow[types.Job]:
        """Return the job as it is now."""
        return call(Request("GET", _path(job), options=options), types.Job)

    @endpoint
    def cancel(self, job: JobRef, **options: Unpack[CallOptions]) -> Flow[types.Job]:
        """Stop the job for good; what it has made so far goes."""
        return call(Request("POST", f"{_path(job)}/cancel", options=options), types.Job)

    @endpoint
    def pause(self, job: JobRef, **options: Unpack[CallOptions]) -> Flow[types.Job]:
        """Have the job write a checkpoint and stop until it is resumed."""
        return call(Request("POST", f"{_path(job)}/pause", options=options), types.Job)

    @endpoint
    def resume(self, job: JobRef, **options: Unpack[CallOptions]) -> Flow[types.Job]:
        """Let a paused job go on from its checkpoint."""
        return call(Request("POST", f"{_path(job)}/resume", options=options), types.Job)

    @endpoint
    def checkpoints(self, job: JobRef, **options: Unpack[CallOptions]) -> Flow[Sequence[types.Checkpoint]]:
        """Return the checkpoints the job keeps, newest first."""
        query = list_query(after=None, limit=100, order=None)
        page = yield from call(
            Request("GET", f"{_path(job)}/checkpoints", query, options=options), types.Page[types.Checkpoint]
        )
        return page.data

    @streaming
    def events(
        self,
        job: JobRef,
        *,
        follow: bool = False,
        after: types.JobEvent | None = None,
        **options: Unpack[CallOptions],
    ) -> EmitFlow[types.JobEvent]:
        """Give the job's events in order, best in a `with` block; with `follow`, live until the job has ended.

        A stream that breaks off is taken up after the last event seen: none is missed, none comes twice.

        Args:
            job: The job or its id.
            follow: Wait for events to come; omitted, only those that are there.
            after: Begin after this event.
            **options: extra_headers, timeout, idempotency_key.

        Raises:
            APIConnectionError: The stream broke off and could not be taken up again.
        """
        path, pages = f"{_path(job)}/events", types.Page[types.JobEvent]
        return entries(path, types.JobEvent, pages, follow=follow, after=after, options=options)

    @endpoint
    def wait(
        self,
        job: JobRef,
        *,
        timeout: float | None = None,
        progress: ProgressOption = False,
        raise_on_failure: bool = True,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Flow[types.Job]:
        """Wait until the job has ended and return it.

        Asks after 0.5 s, then 1.5 times as long each time up to 10 s, or sooner where the job itself expects to end
        sooner (`progress.eta_seconds`). A poll that fails in passing does no harm.

        Args:
            job: The job or its id.
            timeout: Seconds to wait; the job itself is not stopped. Omitted, as long as it takes.
            progress: Show a bar (`pip install lmaas[progress]`) or lines of text; or a function to call with the job.
            raise_on_failure: Whether a job that failed or was cancelled is an error; if not, it is returned.
            extra_headers: Sent with each request.

        Raises:
            JobFailedError: The job failed or was cancelled; `.job` tells why.
            JobTimeoutError: It has not ended in time; it goes on.
        """
        return waited(
            id_of(job),
            timeout=timeout,
            progress=progress,
            raise_on_failure=raise_on_failure,
            options=_headers(extra_headers),
        )

    @endpoint
    def wait_all(
        self,
        jobs: Sequence[JobRef],
        *,
        timeout: float | None = None,
        progress: ProgressOption = False,
        raise_on_failure: bool = True,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Flow[tuple[types.Job, ...]]:
        """Wait until all jobs have ended and return them in the order given; see `wait`.

        Raises:
            JobFailedError: One failed; raised once all have ended, for the first in order.
            JobTimeoutError: Not all have ended in time.
        """
        return waited_all(
            [id_of(job) for job in jobs],
            timeout=timeout,
            progress=progress,
            raise_on_failure=raise_on_failure,
            options=_headers(extra_headers),
        )

    @streaming
    def as_completed(
        self,
        jobs: Sequence[JobRef],
        *,
        timeout: float | None = None,
        progress: ProgressOption = False,
        extra_headers: Mapping[str, str] | None = None,
    ) -> EmitFlow[types.Job]:
        """Give each job as it ends, whether well or badly: look at its `status`.

        Raises:
            JobTimeoutError: Not all have ended in time.
        """
        return settled(
            [id_of(job) for job in jobs], timeout=timeout, progress=progress, options=_headers(extra_headers)
        )


def _path(job: JobRef) -> str:
    return f"/v1/jobs/{segment(id_of(job))}"


def _headers(extra_headers: Mapping[str, str] | None) -> CallOptions:
    return CallOptions() if extra_headers is None else CallOptions(extra_headers=extra_headers)
