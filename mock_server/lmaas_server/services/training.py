"""Training: a request becomes a plan and a job, and the job's bundle a model version. Knows no HTTP and no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lmaas.types import CausalLM, TrainingRequest
from lmaas_server.engine.language_planning import asks_for_language, plan_language
from lmaas_server.errors import InvalidError, MissingError
from lmaas_server.jobs.kinds import Commit, Work
from lmaas_server.jobs.outcome import Outcome
from lmaas_server.jobs.runner import JobRunner
from lmaas_server.records import JobRecord, Json, ModelRecord, new_id
from lmaas_server.services.registering import register
from lmaas_server.services.sources import Sources, described
from lmaas_server.storage import Artifacts, Storage

__all__ = ["TrainingKind", "TrainingService"]


class TrainingService:
    """Takes requests to train."""

    def __init__(
        self,
        storage: Storage,
        sources: Sources,
        runner: JobRunner,
        *,
        memory_limit_bytes: int,
        clock: Callable[[], float],
    ) -> None:
        self._storage = storage
        self._sources = sources
        self._runner = runner
        self._memory_limit_bytes = memory_limit_bytes
        self._clock = clock

    def __repr__(self) -> str:
        return f"TrainingService({self._runner!r})"

    def create(self, request: TrainingRequest, *, request_key: str | None = None) -> JobRecord:
        """Plan a training and queue it; the same request key again returns the job it made.

        Raises:
            MissingError: `dataset_not_found`, `model_not_found` (of `base_model`).
            InvalidError: The plan does not fit the data, or would take more memory than a job may.
        """
        id = new_id("job", request_key)
        if (known := self._storage.jobs.get(id)) is not None:
            return known
        plan = self._planned(request)
        record = JobRecord(
            id=id,
            type="training",
            status="queued",
            created_at=self._clock(),
            request=plan.model_dump(mode="json"),
            seed=plan.seed or 0,
        )
        record, _ = self._storage.jobs.add(record, message=f"Queued: train {plan.name} on {plan.dataset}.")
        self._runner.wake()
        return record

    def _planned(self, request: TrainingRequest) -> TrainingRequest:
        dataset = self._sources.dataset(request.dataset)
        base: ModelRecord | None = None
        request = self._spelled(request)
        if request.base_model is not None:
            base = self._start(request.base_model)
            # An alias may point elsewhere tomorrow; the record names the version.
            request = request.model_copy(update={"base_model": base.id})
        held_out = request.validation and request.validation.dataset
        given = described(dataset)
        start = _shape_of(base) if base else None
        held = described(self._sources.dataset(held_out, param="validation.dataset")) if held_out else None
        limit = self._memory_limit_bytes
        if not asks_for_language(request, given, start):
            from lmaas_server.engine.planning import plan_training  # late: numpy comes along

            return plan_training(request, given, base=start, validation=held, memory_limit_bytes=limit)
        return plan_language(
            request, given, base_models=self._sources.base_models, base=start, validation=held, memory_limit_bytes=limit
        )

    def _start(self, reference: str) -> ModelRecord:
        try:
            return self._sources.model(reference, param="base_model")
        except MissingError as exc:
            message = f"{exc.message} Pretrained: {', '.join(self._sources.base_models.names())}."
            raise MissingError(message, code=exc.code, param=exc.param) from exc

    def _spelled(self, request: TrainingRequest) -> TrainingRequest:
        """Return a request whose `base_model` is a version; a pretrained model named there is the architecture's."""
        name, architecture = request.base_model, request.architecture or CausalLM()
        if name is None or name not in self._sources.base_models or not isinstance(architecture, CausalLM):
            return request
        if architecture.base_model not in {None, name}:
            message = f"base_model is {name!r} and architecture.base_model {architecture.base_model!r}; name one."
            raise InvalidError(message, code="invalid", param="base_model")
        return request.model_copy(
            update={"base_model": None, "architecture": architecture.model_copy(update={"base_model": name})}
        )


def _shape_of(model: ModelRecord) -> Json:
    return {"architecture": model.architecture, "input": model.input, "target": model.target}


class TrainingKind:
    """How a training is prepared and committed."""

    def __init__(self, storage: Storage, artifacts: Artifacts, sources: Sources, *, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._artifacts = artifacts
        self._sources = sources
        self._clock = clock

    def prepare(self, job: JobRecord, folder: Path) -> Work:  # noqa: ARG002 - nothing to keep between attempts
        """Name the files."""
        request = job.request
        held_out = (request["validation"] or {}).get("dataset")
        base = request["base_model"]
        pretrained = request["architecture"].get("base_model")
        spec = {
            "request": request,
            "dataset": self._sources.dataset_spec(request["dataset"]),
            "validation": held_out and self._sources.dataset_spec(held_out, param="validation.dataset"),
            "base": (base and self._sources.bundle(base, param="base_model"))
            or (pretrained and str(self._sources.base_models.get(pretrained).directory)),
        }
        return Work(entry="lmaas_server.jobs.work:run_training", spec=spec)

    def commit(self, job: JobRecord, outcome: Outcome) -> Commit:
        """Register the version."""
        request = job.request
        lineage = {"dataset": request["dataset"], "parent": request["base_model"], "feedback": 0}
        now = self._clock()
        model = register(
            self._storage, self._artifacts, job, name=request["name"], outcome=outcome, lineage=lineage, now=now
        )
        message = f"Succeeded: {model.id} is registered."
        return Commit(model=model.id, result=outcome.result, metrics=outcome.metrics, message=message)
