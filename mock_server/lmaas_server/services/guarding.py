"""The guard over canaries: one that is worse than its champion is taken back. Knows no HTTP and no thread.

What a canary can break, in the order in which it is looked at:

1. labels    its share of wrong answers is significantly above the champions' (`looks`): rows of feedback are counted,
             on predictions made since the two serve together; where there are no labels, ratings
2. errors    it fails to answer more requests than its budget allows, and more than the champion
3. latency   its p95 is too many times the champion's, or its p99 over an absolute budget

A request that was refused because of the load, or because it was wrong, is no failure of a version. The way back is a
revision by the server itself, made only if the deployment is still as it was looked at: a person who was faster wins.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from lmaas.types import GuardSpec
from lmaas_server.errors import ConflictError, MissingError
from lmaas_server.records import DeploymentRecord, Json, RevisionRecord
from lmaas_server.services.deploying import DeployingService
from lmaas_server.services.figures import Figures
from lmaas_server.services.looks import chance_beyond, chance_of_worse, error_of_look, size_of_look
from lmaas_server.services.observing import Observer
from lmaas_server.services.policies import guard_of
from lmaas_server.services.revising import SERVER
from lmaas_server.services.variants import champion_of
from lmaas_server.storage import Storage

__all__ = ["EVENT", "CanaryGuard"]

logger = logging.getLogger("lmaas_server")

EVENT = "guard"
"""The type of the events that tell what a canary has broken."""
_LOOK_SECONDS = 1.0
_WINDOW_SECONDS = 3600
_MINUTE = 60
_CHANCE = 0.001
_LEAST_MS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trial:
    """A canary beside its champions."""

    deployment: str
    canary: str
    champions: tuple[str, ...]
    champion: str
    """The one with the largest share."""
    since: float
    """When the canary began to serve beside these champions."""
    counted_since: float
    """Where the minutes begin that are of this trial alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Breach:
    """What a canary has broken: a sentence, and the figures."""

    cause: str
    sentence: str
    figures: Json


class CanaryGuard:
    """A chore of the steward: looks at the canaries of a deployment."""

    def __init__(
        self,
        storage: Storage,
        *,
        deploying: DeployingService,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        self._storage = storage
        self._deploying = deploying
        self._observer = observer
        self._clock = clock
        self._trials: dict[str, tuple[tuple[float, int], tuple[_Trial, ...]]] = {}
        self._looks: dict[tuple[_Trial, str], int] = {}
        """How many looks a trial has passed: a figure that may be lost, a look comes out the same again."""

    def __repr__(self) -> str:
        return f"CanaryGuard({len(self._trials)} deployments with canaries)"

    def look(self, record: DeploymentRecord) -> float | None:
        """Take back the first canary that breaks the guard; return when to look again, if there is a canary."""
        guard = guard_of(record)
        trials = self._trials_of(record) if guard.enabled else ()
        for trial in trials:
            breach = self._worse(trial, guard) or self._failing(trial, guard) or self._slow(trial, guard)
            if breach is not None:
                self._take_back(record, trial, breach)
                return None
        return self._clock() + _LOOK_SECONDS if trials else None

    def _trials_of(self, record: DeploymentRecord) -> tuple[_Trial, ...]:
        if not any(variant["role"] == "canary" for variant in record.variants):
            self._trials.pop(record.name, None)
            return ()
        state = (record.created_at, record.revision)
        known = self._trials.get(record.name)
        if known is None or known[0] != state:
            self._looks = {key: n for key, n in self._looks.items() if key[0].deployment != record.name}
            history = self._storage.deployments.revisions(record.name)
            known = self._trials[record.name] = (state, _trials(record, history))
        return known[1]

    def _worse(self, trial: _Trial, guard: GuardSpec) -> _Breach | None:
        """Hold the canary's verdicts against the champions' at every look there are enough for."""
        verdicts, about = self._storage.verdicts, {"since": trial.since}
        kind = "label"
        models = (trial.canary, *trial.champions)
        if all(verdicts.position(trial.deployment, m, kind=kind, since=trial.since, count=1) is None for m in models):
            kind = "rating"
        while True:
            look = self._looks.get((trial, kind), 0) + 1
            size = size_of_look(look, first=guard.min_labels)
            until = verdicts.position(trial.deployment, trial.canary, kind=kind, **about, count=size)
            if until is None:
                return None
            _, bad = verdicts.count(trial.deployment, trial.canary, kind=kind, **about, until=until)
            others = [verdicts.count(trial.deployment, m, kind=kind, **about, until=until) for m in trial.champions]
            other_bad, other_total = sum(n for _, n in others), sum(map(sum, others))
            chance = chance_of_worse(bad, size, other_bad=other_bad, other_total=other_total)
            if chance < error_of_look(look, significance=guard.significance):
                theirs = (other_bad, other_total)
                return _of_verdicts(trial, kind, (bad, size), theirs, look=look, chance=chance)
            self._looks[trial, kind] = look

    def _failing(self, trial: _Trial, guard: GuardSpec) -> _Breach | None:
        budget = guard.max_error_rate
        if budget is None:
            return None
        ours = self._figures(trial, trial.canary)
        total = ours.requests + ours.errors
        if chance_beyond(ours.errors, total, share=budget) >= _CHANCE:
            return None
        theirs = self._figures(trial, trial.champion)
        rate, other = ours.error_rate or 0.0, theirs.error_rate or 0.0
        if rate <= other:
            return None  # whatever ails the canary ails the champion too
        return _Breach(
            cause="errors",
            sentence=(
                f"{trial.canary} failed to answer {ours.errors} of {total} requests, {rate:.1%}; "
                f"{budget:.1%} is its budget, and {trial.champion} failed {other:.1%}"
            ),
            figures={"errors": ours.errors, "requests": total, "rate": rate, "budget": budget, "champion_rate": other},
        )

    def _slow(self, trial: _Trial, guard: GuardSpec) -> _Breach | None:
        if guard.max_latency_factor is None and guard.max_p99_ms is None:
            return None
        ours = self._figures(trial, trial.canary)
        if ours.requests < guard.min_requests or ours.p95_ms is None or ours.p99_ms is None:
            return None
        if guard.max_p99_ms is not None and ours.p99_ms > guard.max_p99_ms:
            sentence = f"the p99 of {trial.canary} is {ours.p99_ms:.1f} ms, over its budget of {guard.max_p99_ms:g} ms"
            return _Breach(
                cause="latency", sentence=sentence, figures={"p99_ms": ours.p99_ms, "budget_ms": guard.max_p99_ms}
            )
        theirs = self._figures(trial, trial.champion)
        factor = guard.max_latency_factor
        if factor is None or theirs.p95_ms is None or theirs.requests < guard.min_requests:
            return None
        if ours.p95_ms <= max(theirs.p95_ms * factor, theirs.p95_ms + _LEAST_MS):
            return None
        return _Breach(
            cause="latency",
            sentence=(
                f"the p95 of {trial.canary} is {ours.p95_ms:.1f} ms, over {factor:g} times "
                f"the {theirs.p95_ms:.1f} ms of {trial.champion}"
            ),
            figures={"p95_ms": ours.p95_ms, "champion_p95_ms": theirs.p95_ms, "factor": factor},
        )

    def _figures(self, trial: _Trial, model: str) -> Figures:
        since = max(trial.counted_since, self._clock() - _WINDOW_SECONDS)
        return self._observer.figures(trial.deployment, since=since, model=model, shadow=False)

    def _take_back(self, record: DeploymentRecord, trial: _Trial, breach: _Breach) -> None:
        """Tell, and then act: a server that is killed in between does the same again, and tells nothing twice."""
        key = f"guard\0{trial.canary}\0{trial.since!r}\0{record.revision}"
        data = {"canary": trial.canary, "champion": trial.champion, "cause": breach.cause, **breach.figures}
        message = f"The guard takes {trial.canary} back: {breach.sentence}."
        self._storage.deployment_events.add(record.name, EVENT, message, data, self._clock(), level="warning", key=key)
        try:
            self._deploying.rollback(
                record.name,
                reason=f"Taken back by the guard: {breach.sentence}.",
                actor=SERVER,
                request_key=f"{key}\0{record.created_at!r}",
                if_revision=record.revision,
                canary=trial.canary,
            )
        except (ConflictError, MissingError) as exc:
            logger.info("the guard of %s comes too late: %s", record.name, exc)


def _trials(record: DeploymentRecord, history: Sequence[RevisionRecord]) -> tuple[_Trial, ...]:
    """Return the canaries that serve beside champions, and since when; `history` is newest first."""
    champions = _with_role(record.variants, "champion")
    if not champions:
        return ()
    trials = []
    for canary in sorted(_with_role(record.variants, "canary")):
        since, again = record.created_at, False
        for place, revision in enumerate(history):
            together = canary in _with_role(revision.variants, "canary")
            if not together or _with_role(revision.variants, "champion") != champions:
                again = any(v["model"] == canary for older in history[place:] for v in older.variants)
                break
            since = revision.created_at
        trials.append(
            _Trial(
                deployment=record.name,
                canary=canary,
                champions=tuple(sorted(champions)),
                champion=champion_of(record),
                since=since,
                # Figures are kept by the minute: what it did before, in the minute in which it came back, is not of it.
                counted_since=float(ceil(since / _MINUTE) * _MINUTE) if again else since,
            )
        )
    return tuple(trials)


def _with_role(variants: Sequence[Json], role: str) -> frozenset[str]:
    return frozenset(variant["model"] for variant in variants if variant["role"] == role)


def _of_verdicts(trial: _Trial, kind: str, ours: tuple[int, int], theirs: tuple[int, int], **look: float) -> _Breach:
    """Tell of (bad, all) of the canary and of its champions."""
    (bad, total), (other_bad, other_total) = ours, theirs
    said = "labels say it was wrong in" if kind == "label" else "ratings say it was bad in"
    return _Breach(
        cause=f"{kind}s",
        sentence=(
            f"{said} {bad} of {total} answers of {trial.canary} ({bad / total:.1%}), and in {other_bad} of "
            f"{other_total} of the champion ({other_bad / other_total:.1%}); "
            f"chance does that in {look['chance']:.2g} of cases"
        ),
        figures={
            f"{kind}s": total,
            "wrong": bad,
            f"champion_{kind}s": other_total,
            "champion_wrong": other_bad,
            **look,
        },
    )
