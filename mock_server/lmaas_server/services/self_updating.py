"""Updates that a deployment starts of its own accord, as its policy says. Knows no HTTP and no thread.

What is due is read from the rows: the last update says up to which feedback and which alarm it has taken into account.
The id of the next one derives from the last one, so however often, and by however many, it is found to be due, it is
one job; a server that was killed anywhere in between finds the same and goes on.
"""

from __future__ import annotations

from collections.abc import Callable

from lmaas.types import UpdatePolicySpec, UpdateRequest
from lmaas_server.errors import ConflictError, ServiceError
from lmaas_server.records import DeploymentEventRecord, DeploymentRecord, JobRecord, Json, ModelRecord
from lmaas_server.services.policies import policy_of
from lmaas_server.services.triggers import Standing, Trigger, called_for, next_moment
from lmaas_server.services.updating import UpdateService, learnable
from lmaas_server.services.variants import champion_of
from lmaas_server.storage import Storage
from lmaas_server.storage.jobs import ENDED

__all__ = ["SelfUpdates"]

EVENT = "update"
"""The type of the events that tell of these updates."""


class SelfUpdates:
    """A chore of the steward: starts what is due, and tells what came of it."""

    def __init__(self, storage: Storage, updating: UpdateService, *, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._updating = updating
        self._clock = clock
        self._begun: dict[str, str] = {}
        self._ended: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"SelfUpdates({self._storage!r})"

    def look(self, record: DeploymentRecord) -> float | None:
        """Start an update if the policy calls for one; return when time alone will call for it."""
        policy = policy_of(record)
        if policy is None:
            return None
        newest = self._storage.jobs.last_update(record.name, since=record.created_at)
        if newest is not None and newest.trigger is not None:
            self._tell_begin(newest, policy)  # whoever asked for it may have been killed before it told
        if newest is not None and newest.status not in ENDED:
            return None  # its end is a reason to look again: what is due by then makes one update
        if newest is not None and newest.trigger is not None:
            self._tell_end(newest)
        champion = self._storage.models.get(champion_of(record))
        if champion is None or record.status != "ready" or _tries_one_already(record, policy):
            return None
        last = newest
        if newest is not None and newest.feedback_position is None:
            last = self._storage.jobs.last_update(record.name, since=record.created_at, settled=True)
        standing = self._standing(record, champion, last, enough=policy.min_feedback or 1)
        trigger = called_for(policy, standing, self._clock())
        if trigger is None:
            return next_moment(policy, standing)
        self._start(record, policy, trigger, last=last, champion=champion)
        return None

    def _standing(
        self, record: DeploymentRecord, champion: ModelRecord, last: JobRecord | None, *, enough: int | None
    ) -> Standing:
        """Read how things stand; more than `enough` new items are not counted."""
        feedback, kinds = self._storage.feedback, learnable(champion)
        position = 0 if last is None else last.feedback_position or 0
        alarm, tried = self._alarm(record, last)
        older = feedback.count_pending(record.name, kinds=kinds, until=position) if tried else 0
        limit = None if enough is None else max(enough, older)
        return Standing(
            fresh=feedback.count_pending(record.name, kinds=kinds, after=position, limit=limit),
            older=older,
            since=record.created_at if last is None else last.created_at,
            alarm=None if alarm is None else alarm.id,
            tried=tried,
        )

    def _alarm(self, record: DeploymentRecord, last: JobRecord | None) -> tuple[DeploymentEventRecord | None, bool]:
        """Return the newest alarm about a version that serves, if it is open, and whether it was tried to answer it."""
        alarms = self._storage.deployment_events.events(record.name, type="drift", order="desc", limit=1)
        champions = {variant["model"] for variant in record.variants if variant["role"] == "champion"}
        if not alarms or alarms[0].data["model"] not in champions:
            return None, False
        if last is None or alarms[0].seq > (last.alarm_seq or 0):
            return alarms[0], False
        return (alarms[0], True) if _came_to_nothing(last) else (None, False)

    def _start(
        self,
        record: DeploymentRecord,
        policy: UpdatePolicySpec,
        trigger: Trigger,
        *,
        last: JobRecord | None,
        champion: ModelRecord,
    ) -> None:
        request = UpdateRequest(
            deployment=record.name,
            strategy=policy.strategy,
            promote=policy.promote,
            canary_share=policy.canary_share,
            gate=policy.gate,
        )
        key = f"policy\0{record.name}\0{record.created_at!r}\0{'' if last is None else last.id}"
        standing = self._standing(record, champion, last, enough=None)
        why = Trigger(cause=trigger.cause, feedback=standing.fresh, alarm=trigger.alarm)
        try:
            job = self._updating.create(request, request_key=key, trigger=why.document())
        except ConflictError:
            return  # somebody was faster: the end of that update is a reason to look again
        except ServiceError as exc:
            message = f"The policy calls for an update, which cannot be: {exc.message}"
            data = {"cause": trigger.cause, "error": {"code": exc.code, "message": exc.message}}
            self._tell(record.name, message, data, key=f"{key}\0{exc.code}\0{champion.id}", level="error")
            return
        self._tell_begin(job, policy)

    def _tell_begin(self, job: JobRecord, policy: UpdatePolicySpec) -> None:
        """Tell that an update was started and why, once."""
        name, why = job.deployment or "", Trigger.read(job.trigger or {})
        if self._begun.get(name) == job.id:
            return
        message = f"{job.id} was started {_reason(policy, why)}."
        self._tell(name, message, {"job": job.id, "status": "queued", **why.document()}, key=job.id)
        self._begun[name] = job.id

    def _tell_end(self, job: JobRecord) -> None:
        """Tell what came of an update, once."""
        name = job.deployment or ""
        if self._ended.get(name) == job.id:
            return
        result = job.result or {}
        data = {
            "job": job.id,
            "status": job.status,
            "promoted": bool(result.get("promoted")),
            "reason": result.get("reason"),
            "candidate": result.get("candidate"),
            "error": job.error,
        }
        level = "error" if job.status == "failed" else "info"
        self._tell(name, f"{job.id} {_outcome(job)}.", data, key=f"{job.id}\0end", level=level)
        self._ended[name] = job.id

    def _tell(self, name: str, message: str, data: Json, *, key: str, level: str = "info") -> None:
        self._storage.deployment_events.add(name, EVENT, message, data, self._clock(), level=level, key=key)


def _tries_one_already(record: DeploymentRecord, policy: UpdatePolicySpec) -> bool:
    """Whether a canary is to be judged before there may be another: each would take the place of the one before."""
    return policy.promote == "canary" and any(variant["role"] == "canary" for variant in record.variants)


def _came_to_nothing(job: JobRecord) -> bool:
    return job.status == "failed" or (job.status == "succeeded" and not (job.result or {}).get("passed"))


def _reason(policy: UpdatePolicySpec, trigger: Trigger) -> str:
    """Return why an update was started; the policy may have been changed since."""
    items = f"{trigger.feedback} new item{'' if trigger.feedback == 1 else 's'} of feedback"
    if trigger.cause == "drift":
        return f"because of a drift, with {items}"
    if trigger.cause == "feedback":
        asked = "" if policy.min_feedback is None else f", and the policy asks for {policy.min_feedback}"
        return f"because there were {items}{asked}"
    passed = "time" if policy.every_seconds is None else f"{policy.every_seconds:g} s"
    return f"because {passed} had passed since the last, and there were {items}"


def _outcome(job: JobRecord) -> str:
    result = job.result or {}
    if job.status != "succeeded":
        return f"has {job.status}" if job.error is None else f"has failed: {job.error['message']}"
    if result.get("promoted"):
        return f"has ended: {result['candidate']} serves"
    return f"has ended: no new champion ({result.get('reason')})"
