"""Updates: the feedback of a deployment becomes a candidate, and the candidate the champion if the gate lets it pass.

Knows no HTTP, no torch and no loss. One update at a time for a deployment: a second is a conflict, which the database
itself sees to. What an update learns from is packed when it first begins, so that every attempt learns the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson

from lmaas.types import Gate, UpdateRequest
from lmaas_server.engine.language_planning import plan_language_update
from lmaas_server.errors import InvalidError, MissingError
from lmaas_server.jobs.kinds import Commit, Work
from lmaas_server.jobs.outcome import Outcome
from lmaas_server.jobs.runner import JobRunner
from lmaas_server.jobs.statements import pack_statements, predictions_of
from lmaas_server.records import DeploymentRecord, JobRecord, Json, ModelRecord, new_id
from lmaas_server.services.packed import CONTENT, inputs_key, packed
from lmaas_server.services.promoting import Promoter
from lmaas_server.services.registering import register
from lmaas_server.services.sources import Sources
from lmaas_server.services.variants import CANARY_SHARE, champion_of
from lmaas_server.storage import Artifacts, Storage

__all__ = ["UpdateKind", "UpdateService", "learnable"]

LEARNABLE = ("label", "rating")
LEARNABLE_OF_TEXTS = ("demonstration", "preference", "rating")
_NOTHING = {"promoted": False, "reason": "insufficient_evidence", "gate": None, "feedback_used": 0}


class UpdateService:
    """Takes requests to learn from feedback."""

    def __init__(self, storage: Storage, sources: Sources, runner: JobRunner, *, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._sources = sources
        self._runner = runner
        self._clock = clock

    def __repr__(self) -> str:
        return f"UpdateService({self._runner!r})"

    def create(
        self, request: UpdateRequest, *, request_key: str | None = None, trigger: Json | None = None
    ) -> JobRecord:
        """Queue an update; the same request key again returns the job it made.

        Args:
            request: What is wanted.
            request_key: The id of the job derives from it.
            trigger: Why the deployment itself asks for it; None where somebody does.

        Raises:
            MissingError: `deployment_not_found`.
            ConflictError: `update_in_progress`, another update of this deployment has not ended.
            InvalidError: `dataset_needed`, `retrain` without the data the model was trained on; `parameter_mismatch`,
                a setting of language models for another, or of a canary where there is to be none.
        """
        id = new_id("job", request_key)
        if (known := self._storage.jobs.get(id)) is not None:
            return known
        deployment = _deployment(self._storage, request.deployment)
        champion = self._sources.model(champion_of(deployment))
        if request.strategy == "retrain":
            _check_dataset(self._storage, champion)
        plan = _planned(request, champion)
        record = JobRecord(
            id=id,
            type="update",
            status="queued",
            created_at=self._clock(),
            request=plan.model_dump(mode="json"),
            seed=plan.seed or 0,
            deployment=deployment.name,
            trigger=trigger,
            feedback_position=None if plan.dry_run else self._storage.feedback.newest(deployment.name),
            alarm_seq=None if plan.dry_run else self._last_alarm(deployment.name),
        )
        message = f"Queued: update {deployment.name}, which serves {champion.id}, by {plan.strategy}."
        record, _ = self._storage.jobs.add(record, message=message)
        self._runner.wake()
        return record

    def _last_alarm(self, deployment: str) -> int:
        alarms = self._storage.deployment_events.events(deployment, type="drift", order="desc", limit=1)
        return alarms[0].seq if alarms else 0


class UpdateKind:
    """How an update is prepared and committed."""

    def __init__(
        self,
        storage: Storage,
        artifacts: Artifacts,
        sources: Sources,
        *,
        flush: Callable[[], None],
        promoter: Promoter,
        clock: Callable[[], float],
    ) -> None:
        """Take what it needs; `flush` brings every logged prediction into storage."""
        self._storage = storage
        self._artifacts = artifacts
        self._sources = sources
        self._flush = flush
        self._promoter = promoter
        self._clock = clock

    def prepare(self, job: JobRecord, folder: Path) -> Work | Outcome:
        """Pack the pending feedback, once, and name the files; without any there is nothing to do."""
        if not folder.is_dir():
            self._pack(job)
        given = orjson.loads((folder / CONTENT).read_bytes())
        if job.feedback_position is not None:
            # What came while the job waited in the queue is taken into account too, and calls for no other update.
            self._storage.jobs.update(job.id, feedback_position=given.get("position", job.feedback_position))
        if not given["items"] and not given["remembered"]:
            return Outcome(result={**_NOTHING, "feedback_held_out": 0, "champion": given["champion"]})
        champion = self._sources.model(given["champion"])
        bundle = Path(self._sources.bundle(champion.id))
        dataset = champion.lineage.get("dataset") if job.request["strategy"] == "retrain" else None
        spec = {
            "request": job.request,
            "bundle": str(bundle),
            "statements": str(folder),
            "base": dataset and self._sources.origin(bundle),
            "dataset": dataset and self._sources.dataset_spec(dataset),
            # Asked again for every attempt: what was retracted while it waited is not learned from either.
            "retracted": sorted({*given["retracted"], *self._storage.feedback.retracted(given["items"])}),
        }
        return Work(entry="lmaas_server.jobs.work:run_update", spec=spec)

    def commit(self, job: JobRecord, outcome: Outcome) -> Commit:
        """Register the candidate where it is wanted, and promote it where it may be."""
        given = self._packed(job)
        result: Json = {"candidate": None, **outcome.result, "champion": given["champion"]}
        waiting = frozenset(result.pop("capped_ids", ()))
        items = [item for item in given["items"] if item not in waiting]
        passed = bool(result["promoted"])
        if outcome.bundle is None or not _is_kept(job.request, passed=passed):
            held = {"promoted": False, "passed": passed, "reason": "dry_run" if passed else result["reason"]}
            return Commit(result={**result, **held}, metrics=outcome.metrics, message=f"Held: {held['reason']}.")
        champion = self._sources.model(given["champion"])
        candidate = self._registered(job, champion, outcome)
        verdict = self._promoter.act(
            job, candidate, champion=champion.id, passed=passed, reason=result["reason"], items=items
        )
        result |= {"candidate": candidate.id, "passed": passed, **verdict}
        message = (
            f"Succeeded: {candidate.id} {'serves' if result['promoted'] else 'is registered'}, {result['reason']}."
        )
        return Commit(model=candidate.id, result=result, metrics=outcome.metrics, message=message)

    def _registered(self, job: JobRecord, champion: ModelRecord, outcome: Outcome) -> ModelRecord:
        used = outcome.result["feedback_used"]
        lineage = {"dataset": champion.lineage.get("dataset"), "parent": champion.id, "feedback": used}
        lineage |= {"deployment": job.request["deployment"], "gate": outcome.result.get("gate")}
        now = self._clock()
        return register(
            self._storage, self._artifacts, job, name=champion.name, outcome=outcome, lineage=lineage, now=now
        )

    def _pack(self, job: JobRecord) -> None:
        self._flush()
        deployment = _deployment(self._storage, job.request["deployment"])
        champion = self._sources.model(champion_of(deployment))
        retrain = job.request["strategy"] == "retrain"
        remembered = self._remembered(champion)
        # A retraining begins from nothing, so it is told again all that stands; the others, what is new.
        position = self._storage.feedback.newest(deployment.name)
        kinds = learnable(champion)
        pending = self._storage.feedback.standing(deployment.name, kinds=kinds, learned=None if retrain else False)
        predictions = self._storage.predictions.get_many(sorted(predictions_of(pending)))
        with self._artifacts.temporary() as temp:
            items = pack_statements(temp, pending, predictions)
            content = {
                "champion": champion.id,
                "items": items,
                "position": position,
                "remembered": len(remembered) if retrain else 0,
                "retracted": sorted(self._storage.feedback.retracted(remembered)),
            }
            (temp / CONTENT).write_bytes(orjson.dumps(content))
            self._artifacts.adopt_directory(temp, inputs_key(job))

    def _packed(self, job: JobRecord) -> Json:
        if (content := packed(self._artifacts, job)) is None:
            raise FileNotFoundError(f"{job.id} is committed, and what it was given is gone")
        return content

    def _remembered(self, champion: ModelRecord) -> list[str]:
        """Return the ids of the feedback that a model keeps to replay."""
        config = Path(self._sources.bundle(champion.id)) / "bundle.json"
        return list(orjson.loads(config.read_bytes()).get("buffers", {}).get("reservoir_ids", []))


def learnable(champion: ModelRecord) -> tuple[str, ...]:
    """Return the kinds of feedback that an update of a version learns from."""
    return LEARNABLE_OF_TEXTS if champion.task == "generation" else LEARNABLE


def _planned(request: UpdateRequest, champion: ModelRecord) -> UpdateRequest:
    """Return the request with its defaults filled in."""
    if request.promote == "canary":
        request = request.model_copy(update={"canary_share": request.canary_share or CANARY_SHARE})
    elif request.canary_share is not None:
        message = f"`canary_share` is of `promote: canary`, and this is {request.promote!r}; leave it out."
        raise InvalidError(message, code="parameter_mismatch", param="canary_share")
    if champion.task == "generation":
        return plan_language_update(request)
    for name in ("kl_budget", "beta"):
        if getattr(request, name) is not None:
            message = f"`{name}` is of language models, and {champion.id} is a {champion.task}; leave it out."
            raise InvalidError(message, code="parameter_mismatch", param=name)
    return request.model_copy(update={"seed": request.seed or 0, "gate": request.gate or Gate()})


def _is_kept(request: Json, *, passed: bool) -> bool:
    """Whether a candidate becomes a version: one the gate held does only for a person who decides by hand.

    A held candidate would be the newest version of its name, which is what the bare name means.
    """
    return not request["dry_run"] and (passed or request["promote"] == "manual")


def _deployment(storage: Storage, name: str) -> DeploymentRecord:
    found = storage.deployments.get(name)
    if found is None:
        message = f"There is no deployment {name!r}; list them with GET /v1/deployments."
        raise MissingError(message, code="deployment_not_found", param="deployment")
    return found


def _check_dataset(storage: Storage, champion: ModelRecord) -> None:
    dataset = champion.lineage.get("dataset")
    if dataset is None or storage.datasets.get(dataset) is None:
        raise InvalidError(
            f"`retrain` begins from the data that {champion.id} was trained on, and {dataset} is gone; "
            f"use the strategy 'replay_distill', which needs only what is kept with the model.",
            code="dataset_needed",
            param="strategy",
        )
