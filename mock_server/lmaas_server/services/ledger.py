"""The sums behind the figures: reports counted by the minute, and versions watched. Knows no thread and no lock.

Whoever holds a ledger sees to it that one at a time uses it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias, cast

from lmaas_server.engine.learning.drift import Change
from lmaas_server.records import DetectorRecord, Json, ObservationRecord
from lmaas_server.services.figures import Tally, bucket_of
from lmaas_server.services.totals import Totals
from lmaas_server.services.watching import Signal, Watch

__all__ = ["Agreed", "Answered", "Dropped", "Failed", "Found", "Labelled", "Ledger", "Predicted", "Report"]

_MINUTE = 60
_MAX_WATCHES = 1000
"""Beyond these, watches that stand still are read from the database again when they are needed."""


class Predicted(NamedTuple):
    """A request that was answered."""

    deployment: str
    model: str
    role: str
    now: float
    rows: int
    row_errors: int
    seconds: float
    confidences: Sequence[float]


class Answered(NamedTuple):
    """The same, as the outputs themselves."""

    deployment: str
    model: str
    role: str
    now: float
    outputs: Sequence[Json]
    seconds: float


class Failed(NamedTuple):
    """A request that was not answered."""

    deployment: str
    model: str
    role: str
    now: float


class Labelled(NamedTuple):
    """An item of feedback; -1 times, one that came at `now` and was retracted."""

    deployment: str
    model: str
    now: float
    right: bool | None
    kind: str
    value: object
    times: int = 1


class Agreed(NamedTuple):
    """A shadow's comparison."""

    deployment: str
    model: str
    now: float
    compared: int
    agreed: int
    measured: int = 0
    difference: float = 0.0


class Dropped(NamedTuple):
    """A request that a shadow was not asked."""

    deployment: str
    model: str
    now: float


Report = Predicted | Answered | Failed | Labelled | Agreed | Dropped
_Version: TypeAlias = tuple[str, str, str, int]


class Found(NamedTuple):
    """A signal that changed."""

    deployment: str
    model: str
    signal: Signal
    change: Change
    requests: int
    now: float


class Ledger:
    """What was counted and is not written yet, and the watches over champions."""

    def __init__(
        self,
        *,
        role: Callable[[str, str], str | None],
        kept: Callable[[str], Sequence[DetectorRecord]],
        watches: Callable[[], bool],
    ) -> None:
        """Begin with nothing.

        Args:
            role: Tells the present role of a version.
            kept: Gives what was remembered of a deployment's watches.
            watches: Whether this process watches champions; of several that share a database one does.
        """
        self._role = role
        self._kept = kept
        self._watches_here = watches
        self._tallies: dict[tuple[str, str, bool, int], Tally] = {}
        self._watches: dict[tuple[str, str], Watch] = {}
        self._moved: set[tuple[str, str]] = set()
        self._found: list[Found] = []
        self.totals: dict[str, Totals] = {}

    def __repr__(self) -> str:
        return f"Ledger({len(self._tallies)} spans, {len(self._watches)} watches)"

    def count(self, reports: Iterable[Report]) -> None:
        """Add reports to the sums, in their order; requests that one version answered in a minute all at once."""
        for version, same in groupby(reports, key=_version_of):
            if version is not None:
                self._count_answered(version, cast("list[Predicted | Answered]", list(same)))
                continue
            for report in same:
                self._count_other(report)

    def watch(self, deployment: str, model: str) -> Watch:
        """Return the watch over a version, a new one if there was none."""
        key = (deployment, model)
        watch = self._watches.get(key)
        if watch is None:
            kept = next((one for one in self._kept(deployment) if one.model == model), None)
            watch = Watch() if kept is None else Watch.restored(kept.state)
            if self._watches_here():  # what another process sees is read again every time
                self._watches[key] = watch
        return watch

    def records(self, deployment: str | None = None) -> list[ObservationRecord]:
        """Return the sums that are not written yet, of one deployment or all."""
        return [
            tally.record(name, model, shadow=shadow, begin=begin)
            for (name, model, shadow, begin), tally in self._tallies.items()
            if deployment in {None, name}
        ]

    def moved(self, now: float) -> list[DetectorRecord]:
        """Return the watches that have seen something since they were written."""
        return [
            DetectorRecord(deployment=key[0], model=key[1], state=self._watches[key].state(), updated_at=now)
            for key in self._moved
        ]

    def written(self) -> None:
        """Begin new sums: those of `records` and `moved` are in the database."""
        if len(self._watches) > _MAX_WATCHES:
            self._watches = {key: self._watches[key] for key in self._moved}
        self._tallies, self._moved = {}, set()

    def take_found(self) -> list[Found]:
        """Return the changes that nobody was told of."""
        found, self._found = self._found, []
        return found

    def forget(self, deployment: str) -> None:
        """Drop all that is about a deployment."""
        self._tallies = {key: tally for key, tally in self._tallies.items() if key[0] != deployment}
        self._watches = {key: watch for key, watch in self._watches.items() if key[0] != deployment}
        self._moved = {key for key in self._moved if key[0] != deployment}
        self._found = [one for one in self._found if one.deployment != deployment]
        self.totals.pop(deployment, None)

    def _tally(self, deployment: str, model: str, now: float, *, shadow: bool = False) -> Tally:
        key = (deployment, model, shadow, int(now) // _MINUTE * _MINUTE)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally()
        return tally

    def _count_other(self, report: Report) -> None:
        match report:
            case Failed(deployment, model, role, now):
                self._tally(deployment, model, now, shadow=role == "shadow").errors += 1
            case Labelled():
                self._count_labelled(report)
            case Agreed(deployment, model, now, compared, agreed, measured, difference):
                tally = self._tally(deployment, model, now, shadow=True)
                tally.compared += compared
                tally.agreed += agreed
                tally.measured += measured
                tally.difference += difference
            case Dropped(deployment, model, now):
                self._tally(deployment, model, now, shadow=True).dropped += 1
            case _:
                raise TypeError(f"{report!r} is counted with those of its version")

    def _count_answered(self, version: _Version, reports: Sequence[Predicted | Answered]) -> None:
        deployment, model, role, minute = version
        part = Totals(requests=len(reports), seconds=sum([report.seconds for report in reports]))
        part.latency = dict(Counter([bucket_of(report.seconds) for report in reports]))
        scores = [_look_through(report, part) for report in reports]
        confidences = [score for some in scores for score in some]
        self._tally(deployment, model, minute, shadow=role == "shadow").predicted(part, confidences=confidences)
        if role == "shadow":
            return
        self.totals.setdefault(deployment, Totals()).add(part)
        if role == "champion" and self._watches_here():
            watch = self.watch(deployment, model)
            before = watch.requests
            self._moved.add((deployment, model))
            # One number a request, however many rows it has: a watch costs the same for a row and for a thousand.
            for place, change in watch.requested([sum(some) / len(some) if some else None for some in scores]):
                now, requests = reports[place].now, before + place + 1
                self._found.append(Found(deployment, model, "confidence", change, requests, now))

    def _count_labelled(self, report: Labelled) -> None:
        tally = self._tally(report.deployment, report.model, report.now)
        tally.labelled_as(right=report.right, kind=report.kind, value=report.value, times=report.times)
        # A label of a version that has been replaced tells nothing of the one that serves, and what the watch for
        # drift has seen, it has seen: it cannot be taken out of the middle of its window.
        if report.right is None or report.times < 0 or not self._watches_here():
            return
        if self._role(report.deployment, report.model) == "champion":
            watch = self.watch(report.deployment, report.model)
            self._moved.add((report.deployment, report.model))
            if (change := watch.labelled(right=report.right)) is not None:
                found = Found(report.deployment, report.model, "error", change, watch.requests, report.now)
                self._found.append(found)


def _version_of(report: Report) -> _Version | None:
    """Return which version answered, as what and in which minute; None of what is no answer."""
    if isinstance(report, Answered | Predicted):
        return report.deployment, report.model, report.role, int(report.now) // _MINUTE * _MINUTE
    return None


def _look_through(report: Predicted | Answered, part: Totals) -> Sequence[float]:
    """Add the rows of a request to those of its version; return the scores of what it showed."""
    if isinstance(report, Predicted):
        part.rows += report.rows
        part.row_errors += report.row_errors
        return report.confidences
    outputs = report.outputs
    part.rows += len(outputs)
    part.row_errors += len([1 for output in outputs if "error" in output])
    return [score for output in outputs if type(score := output.get("score")) is float]
