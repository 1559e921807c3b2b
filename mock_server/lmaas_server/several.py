"""What ties a process of a server to the others, wired; `app` asks for it where there are others. Knows no route."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lmaas_server.http.limits import RateLimiter
from lmaas_server.http.shared_buckets import SharedBuckets
from lmaas_server.jobs.runner import JobRunner
from lmaas_server.services.crew_sums import CrewSums
from lmaas_server.services.noticing import Noticing
from lmaas_server.services.rounds import Rounds
from lmaas_server.services.stewarding import Steward
from lmaas_server.settings import Settings
from lmaas_server.storage import Storage
from lmaas_server.storage.crew import Crew

__all__ = ["Several", "lead", "limiter", "of_all", "prewarming", "several_of"]

_PREWARM = "prewarm"
"""What a process calls to the one that runs jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Several:
    """What a process has that is one of several."""

    crew: Crew
    sums: CrewSums
    rounds: Rounds
    noticing: Noticing


def lead(runner: JobRunner, steward: Steward) -> None:
    """Begin what one process of a server does alone: run jobs, and look after deployments."""
    runner.start()
    steward.start()


def several_of(
    crew: Crew, *, sums: CrewSums, noticing: Noticing, storage: Storage, runner: JobRunner, steward: Steward
) -> Several:
    """Make what goes on in a process beside its answers."""

    def see() -> None:
        noticing.look()
        sums.write()

    def patrol() -> None:
        runner.patrol()
        if crew.called(_PREWARM):
            runner.prewarm()

    rounds = Rounds(
        crew,
        see=see,
        lead=lambda: lead(runner, steward),
        patrol=patrol,
        bury=storage.idempotency.forget_unfinished,
    )
    return Several(crew=crew, sums=sums, rounds=rounds, noticing=noticing)


def prewarming(runner: JobRunner, crew: Crew | None) -> Callable[[], None]:
    """Return how the process that forks jobs is warmed: by the one process that runs them."""

    def prewarm() -> None:
        if crew is None or crew.leads:
            runner.prewarm()
        else:
            crew.call(_PREWARM)

    return prewarm


def limiter(settings: Settings, crew: Crew | None) -> RateLimiter:
    """Return what limits requests, over all processes."""
    limit = settings.rate_limit_per_minute
    buckets = None if crew is None or limit is None else SharedBuckets(settings.data_dir / "crew" / "buckets")
    return RateLimiter(limit, clock=time.monotonic, buckets=buckets)


def of_all(sums: CrewSums | None, name: str, read: Callable[[], dict[str, float]]) -> Callable[[], dict[str, float]]:
    """Return how a gauge of this process is read over all that live."""
    if sums is None:
        return read
    sums.add(name, read)

    def added() -> dict[str, float]:
        values = read()
        for other in sums.others(name, living=True):
            values = {of: value + other.get(of, 0.0) for of, value in values.items()}
        return values

    return added
