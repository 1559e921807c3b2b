"""Waiting for jobs, as flows: polls that grow apart and survive what passes. Knows no clock and no transport."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing

from lmaas import types
from lmaas._flow import call
from lmaas._progress import ProgressOption, display_for
from lmaas._request import CallOptions, Flow, Now, Request, Sleep
from lmaas._stream import Emit, EmitFlow
from lmaas.errors import APIConnectionError, APIStatusError, JobFailedError, JobTimeoutError, LMaaSError
from lmaas.resources._ids import segment

FIRST_POLL = 0.5
GROWTH = 1.5
LONGEST_POLL = 10.0
SOONEST_POLL = 0.05
SOONER = 0.1
"""Of the seconds waited so far: polls that a job's own estimate calls for are this far apart at least."""
PATIENCE = 12
"""Polls in a row that may fail in passing, each after its own retries: a restart of the server, not its end."""


def poll_delay(poll: int) -> float:
    """Return the seconds to wait after the poll number `poll`, from 0."""
    return min(LONGEST_POLL, FIRST_POLL * GROWTH ** min(poll, 20))


def sooner(delay: float, waited: float, jobs: Iterable[types.Job]) -> float:
    """Return `delay`, or the seconds after which the first of the jobs says that it ends, where those are less.

    The estimate knows nothing of what comes after the last step, so a job is late by it: then it is asked after a tenth
    of the time `waited`, and its end is heard of with as little delay, for as few requests more.
    """
    expected = [job.progress.eta_seconds for job in jobs if job.status == "running"]
    soonest = min((eta for eta in expected if eta is not None), default=delay)
    return min(delay, max(soonest, waited * SOONER, SOONEST_POLL))


def is_passing(error: LMaaSError) -> bool:
    """Return whether a poll that failed so may succeed later."""
    if isinstance(error, APIStatusError):
        return error.status in {408, 429} or error.status >= 500  # noqa: PLR2004 - HTTP's own borders
    return isinstance(error, APIConnectionError)


def failure_of(job: types.Job) -> JobFailedError | None:
    """Return the error a job that ended badly stands for."""
    if job.status == "succeeded":
        return None
    reason = f": {job.error.message}" if job.error else ""
    return JobFailedError(f"{job.id} {'was cancelled' if job.status == 'cancelled' else 'failed'}{reason}", job=job)


class _Watch:
    """What a wait knows of its jobs: those that have not ended, and how many polls in a row have failed."""

    def __init__(self, ids: Sequence[str], timeout: float | None, options: CallOptions) -> None:
        self.left = list(dict.fromkeys(ids))
        self.timeout = timeout
        self.options = options
        self.failed_polls = 0
        self.seen: dict[str, types.Job] = {}
        self.slept = 0.0

    def look(self, ident: str) -> Flow[types.Job | None]:
        """Poll one job; None if the poll failed in passing."""
        try:
            job = yield from call(Request("GET", f"/v1/jobs/{segment(ident)}", options=self.options), types.Job)
        except LMaaSError as error:
            self.failed_polls += 1
            if not is_passing(error) or self.failed_polls > PATIENCE:
                raise
            return None
        self.failed_polls = 0
        self.seen[ident] = job
        if job.ended:
            self.left.remove(ident)
        return job

    def pause(self, poll: int, start: float) -> Flow[None]:
        """Sleep until the next poll.

        Raises:
            JobTimeoutError: There is no time left.
        """
        seen = (job for ident in self.left if (job := self.seen.get(ident)) is not None)
        delay = sooner(poll_delay(poll), self.slept, seen)
        if self.timeout is not None:
            now: float = yield Now()
            time_left = start + self.timeout - now
            if time_left <= 0:
                raise self.late()
            delay = min(delay, time_left)
        self.slept += delay
        yield Sleep(delay)

    def late(self) -> JobTimeoutError:
        """Return the error of a wait that is over too soon."""
        job = self.seen.get(self.left[0])
        state = f" (last seen {job.status})" if job is not None else ""
        many = f" and {len(self.left) - 1} more" if len(self.left) > 1 else ""
        return JobTimeoutError(
            f"{self.left[0]}{state}{many} has not ended within {self.timeout:g} s; it goes on", job=job
        )


def settled(
    ids: Sequence[str], *, timeout: float | None, progress: ProgressOption, options: CallOptions
) -> EmitFlow[types.Job]:
    """Emit each job once it has ended."""
    watch = _Watch(ids, timeout, options)
    display = display_for(progress)
    try:
        start: float = yield Now()
        poll = 0
        while watch.left:
            for ident in tuple(watch.left):
                job = yield from watch.look(ident)
                if job is not None:
                    display.show(job)
                    if job.ended:
                        yield Emit(job)
            if watch.left:
                yield from watch.pause(poll, start)
            poll += 1
    finally:
        display.close()


def waited_all(
    ids: Sequence[str],
    *,
    timeout: float | None,
    progress: ProgressOption,
    raise_on_failure: bool,
    options: CallOptions,
) -> Flow[tuple[types.Job, ...]]:
    """Return all jobs in the order given once all have ended; raise for the first that ended badly."""
    ended: dict[str, types.Job] = {}
    flow = settled(ids, timeout=timeout, progress=progress, options=options)
    reply: object = None
    with closing(flow):
        while True:
            try:
                action = flow.send(reply)
            except StopIteration:
                break
            if isinstance(action, Emit):
                ended[action.item.id] = action.item
                reply = None
            else:
                reply = yield action
    failures = [failure for ident in ids if (failure := failure_of(ended[ident])) is not None]
    if failures and raise_on_failure:
        raise failures[0]
    return tuple(ended[ident] for ident in ids)


def waited(
    ident: str,
    *,
    timeout: float | None,
    progress: ProgressOption,
    raise_on_failure: bool,
    options: CallOptions,
) -> Flow[types.Job]:
    """Return the job once it has ended; raise if it ended badly."""
    (job,) = yield from waited_all(
        [ident], timeout=timeout, progress=progress, raise_on_failure=raise_on_failure, options=options
    )
    return job
