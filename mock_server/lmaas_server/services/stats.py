"""What deployments do, as it is shown: figures of a window, whole and by version, drift, events. Knows no HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lmaas_server.errors import InvalidError
from lmaas_server.records import DeploymentEventRecord, DeploymentRecord, Json, PageRequest
from lmaas_server.services.figures import Figures
from lmaas_server.services.observing import MAX_WINDOW_SECONDS, Observer
from lmaas_server.services.routing import deployment_missing
from lmaas_server.services.watching import Watch
from lmaas_server.storage import Page, Storage

__all__ = ["DEFAULT_WINDOW", "StatsService", "seconds_of_window"]

DEFAULT_WINDOW = "1h"
_WINDOW = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd]?)", re.ASCII)
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_MINUTE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantFigures:
    """One version's part."""

    model: str
    role: str | None
    weight: float | None
    figures: Figures
    drift: Json | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """A deployment over a window of time."""

    deployment: str
    window: float
    since: float
    figures: Figures
    variants: tuple[VariantFigures, ...]
    drift: Json


class StatsService:
    """Tells what deployments have done and what happened to them."""

    def __init__(self, storage: Storage, *, observer: Observer, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._observer = observer
        self._clock = clock

    def __repr__(self) -> str:
        return f"StatsService({self._observer!r})"

    def stats(self, deployment: str, window: float) -> Stats:
        """Return the figures of the last `window` seconds, from the full minute on.

        Raises:
            MissingError: `deployment_not_found`.
        """
        record = self._existing(deployment)
        since = float(int(self._clock() - window) // _MINUTE * _MINUTE)
        alarms = self._storage.deployment_events.events(deployment, type="drift", order="desc")
        present = [variant["model"] for variant in record.variants]
        gone = sorted(self._observer.models(deployment, since=since) - set(present))
        champion = next((v["model"] for v in record.variants if v["role"] == "champion"), None)
        return Stats(
            deployment=deployment,
            window=window,
            since=since,
            figures=self._observer.figures(deployment, since=since),
            variants=tuple(self._variant(record, model, since, alarms) for model in (*present, *gone)),
            drift=_drift(alarms, since, None if champion is None else self._observer.watch_over(deployment, champion)),
        )

    def events(self, deployment: str, page: PageRequest) -> Page[DeploymentEventRecord]:
        """Return one page of what happened to a deployment.

        Raises:
            MissingError: `deployment_not_found`, `after_not_found`.
        """
        self._existing(deployment)
        events = self._storage.deployment_events
        after = 0 if page.after is None else events.event_seq(deployment, page.after)
        if page.order == "desc" and after == 1:
            return Page((), has_more=False)
        found = events.events(deployment, after_seq=after, limit=page.limit + 1, order=page.order)
        return Page(tuple(found[: page.limit]), has_more=len(found) > page.limit)

    def follow(
        self, deployment: str, *, after_seq: int, timeout: float
    ) -> tuple[Sequence[DeploymentEventRecord], bool]:
        """Wait up to `timeout` seconds for events after `after_seq`; return them, and whether no more can come."""
        events = self._storage.deployment_events.wait_for_events(deployment, after_seq=after_seq, timeout=timeout)
        return events, not events and not self.exists(deployment)

    def exists(self, deployment: str) -> bool:
        """Whether there is a deployment of this name."""
        return self._storage.deployments.get(deployment) is not None

    def _variant(
        self, record: DeploymentRecord, model: str, since: float, alarms: Sequence[DeploymentEventRecord]
    ) -> VariantFigures:
        variant = next((v for v in record.variants if v["model"] == model), None)
        drift = None
        if variant is not None and variant["role"] == "champion":
            ours = [alarm for alarm in alarms if alarm.data["model"] == model]
            drift = _drift(ours, since, self._observer.watch_over(record.name, model))
        return VariantFigures(
            model=model,
            role=None if variant is None else variant["role"],
            weight=None if variant is None else variant["weight"],
            figures=self._observer.figures(record.name, since=since, model=model),
            drift=drift,
        )

    def _existing(self, deployment: str) -> DeploymentRecord:
        if (record := self._storage.deployments.get(deployment)) is None:
            raise deployment_missing(deployment)
        return record


def seconds_of_window(window: str) -> float:
    """Read `5m`, `1h`, `7d` or a number of seconds.

    Raises:
        InvalidError: `invalid_value`, it is something else, or out of range.
    """
    found = _WINDOW.fullmatch(window)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 1 <= seconds <= MAX_WINDOW_SECONDS:
        most = f"{MAX_WINDOW_SECONDS // 86_400}d"
        message = (
            f"`window` is seconds, or a number and s, m, h or d such as 5m, from 1s to {most}, not {window[:40]!r}."
        )
        raise InvalidError(message, code="invalid_value", param="window")
    return seconds


def _drift(alarms: Sequence[DeploymentEventRecord], since: float, watch: Watch | None) -> Json:
    """Return the state of drift from its alarms, newest first, and the watch."""
    state: Json = {
        "alarms": sum(alarm.created_at >= since for alarm in alarms),
        "last_alarm": None,
        "watching": None if watch is None else watch.signal,
        "error": None,
        "confidence": None,
    }
    if alarms:
        last = alarms[0]
        names = ("model", "signal", "before", "after", "at")
        state["last_alarm"] = {"event": last.id, "created_at": last.created_at, **{n: last.data[n] for n in names}}
    for signal, adwin in () if watch is None else (("error", watch.error), ("confidence", watch.confidence)):
        if adwin.seen:
            state[signal] = {"mean": adwin.mean, "width": adwin.width, "seen": adwin.seen}
    return state
