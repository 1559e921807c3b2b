"""What deployments do and what happens to them, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from lmaas.types import DeploymentEvent, DeploymentStats
from lmaas_server.errors import MissingError
from lmaas_server.http.gateway import dumped
from lmaas_server.http.operation import Call, operation
from lmaas_server.http.paging import Query, list_of
from lmaas_server.http.sse import Message, More, Streams, last_event_of
from lmaas_server.records import DeploymentEventRecord
from lmaas_server.services.figures import Figures
from lmaas_server.services.stats import DEFAULT_WINDOW, Stats, StatsService, seconds_of_window

__all__ = ["ObservationRoutes"]

_EVENT_STREAM = "text/event-stream"
_WINDOW = Query(name="window", about=f"How far back: seconds, or 5m, 1h, 7d; {DEFAULT_WINDOW} if omitted, 90d at most.")
_PASSING = {"since", "created_at"}
"""What changes though nothing happened."""


class ObservationRoutes:
    """Endpoints under `/v1/deployments/NAME` that only look."""

    def __init__(self, stats: StatsService, *, streams: Streams, clock: Callable[[], float]) -> None:
        self._stats = stats
        self._streams = streams
        self._clock = clock

    def __repr__(self) -> str:
        return f"ObservationRoutes({self._stats!r})"

    @operation(
        "GET",
        "/v1/deployments/<deployment>/stats",
        tag="deployments",
        answer=DeploymentStats,
        query=(_WINDOW,),
        gives=("application/json", _EVENT_STREAM),
        errors=(404, 422, 503),
    )
    def stats(self, call: Call, deployment: str) -> Any:
        """Get the figures of a deployment over a window of time, whole and by version, and its state of drift.

        With `Accept: text/event-stream`, follow them: an event now and whenever they changed, at most one a second.
        """
        window = seconds_of_window(call.query.get("window", DEFAULT_WINDOW))
        now = self._wire(self._stats.stats(deployment, window))
        if _EVENT_STREAM in call.accept:
            return self._streams.respond(self._followed_stats(deployment, window))
        return now

    @operation(
        "GET",
        "/v1/deployments/<deployment>/events",
        tag="deployments",
        answer=DeploymentEvent,
        listed=True,
        order="asc",
        gives=("application/json", _EVENT_STREAM),
        errors=(404, 422, 503),
    )
    def events(self, call: Call, deployment: str) -> Any:
        """List what happened to a deployment, oldest first; with `Accept: text/event-stream`, follow it.

        A stream that broke off goes on after the event named in `Last-Event-ID`; it ends when the deployment goes.
        """
        page = self._stats.events(deployment, call.page)
        if _EVENT_STREAM in call.accept:
            after = last_event_of(call.request.headers.get("Last-Event-ID"), deployment)
            return self._streams.respond(self._followed_events(deployment, after))
        return list_of([_event(record) for record in page.items], has_more=page.has_more)

    def _followed_stats(self, deployment: str, window: float) -> More:
        shown: dict[str, Any] | None = None
        number = 0

        def more(timeout: float) -> tuple[Sequence[Message], bool]:
            nonlocal shown, number
            if shown is not None:
                time.sleep(timeout)
            try:
                stats = self._wire(self._stats.stats(deployment, window))
            except MissingError:
                return [], True
            known, shown = shown, stats.model_dump(exclude=_PASSING)
            if shown == known:
                return [], False
            number += 1
            return [Message(id=str(number), event="stats", data=dumped(stats))], False

        return more

    def _followed_events(self, deployment: str, after: int) -> More:
        seen, waits = after, False

        def more(timeout: float) -> tuple[Sequence[Message], bool]:
            nonlocal seen, waits
            events, ended = self._stats.follow(deployment, after_seq=seen, timeout=timeout if waits else 0.0)
            waits = True
            if events:
                seen = events[-1].seq
            return [Message(id=str(e.seq), event=e.type, data=dumped(_event(e))) for e in events], ended

        return more

    def _wire(self, stats: Stats) -> DeploymentStats:
        variants = [
            {
                "model": variant.model,
                "role": variant.role,
                "weight": variant.weight,
                "drift": variant.drift,
                **_figures(variant.figures),
            }
            for variant in stats.variants
        ]
        return DeploymentStats.model_validate(
            {
                "id": stats.deployment,
                "window_seconds": stats.window,
                "since": stats.since,
                "created_at": self._clock(),
                "variants": variants,
                "drift": stats.drift,
                **_figures(stats.figures),
            }
        )


def _figures(figures: Figures) -> dict[str, Any]:
    shares = {
        "error_rate": figures.error_rate,
        "accuracy": figures.accuracy,
        "agreement": figures.agreement,
    }
    return asdict(figures) | shares


def _event(record: DeploymentEventRecord) -> DeploymentEvent:
    return DeploymentEvent.model_validate(asdict(record))
