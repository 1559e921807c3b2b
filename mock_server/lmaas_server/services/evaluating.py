"""Evaluation: a version measured on a dataset, as a job. Knows no HTTP and no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lmaas.types import EvaluationRequest
from lmaas_server.engine.language_planning import check_readable
from lmaas_server.errors import InvalidError
from lmaas_server.jobs.kinds import Commit, Work
from lmaas_server.jobs.outcome import Outcome
from lmaas_server.jobs.runner import JobRunner
from lmaas_server.records import DatasetRecord, JobRecord, ModelRecord, new_id
from lmaas_server.services.sources import Sources
from lmaas_server.storage import Storage

__all__ = ["EvaluationKind", "EvaluationService"]


class EvaluationService:
    """Takes requests to measure."""

    def __init__(self, storage: Storage, sources: Sources, runner: JobRunner, *, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._sources = sources
        self._runner = runner
        self._clock = clock

    def __repr__(self) -> str:
        return f"EvaluationService({self._runner!r})"

    def create(self, request: EvaluationRequest, *, request_key: str | None = None) -> JobRecord:
        """Queue an evaluation; the same request key again returns the job it made.

        Raises:
            MissingError: `model_not_found`, `dataset_not_found`.
            InvalidError: `input_mismatch`, `target_mismatch`: the dataset is not what the model takes and gives.
        """
        id = new_id("job", request_key)
        if (known := self._storage.jobs.get(id)) is not None:
            return known
        model = self._sources.model(request.model)
        dataset = self._sources.dataset(request.dataset)
        _check_fits(model, dataset)
        _check_slice(request.slice_by, dataset)
        record = JobRecord(
            id=id,
            type="evaluation",
            status="queued",
            created_at=self._clock(),
            request=request.model_copy(update={"model": model.id}).model_dump(mode="json"),
            seed=0,
            model=model.id,
        )
        record, _ = self._storage.jobs.add(record, message=f"Queued: measure {model.id} on {dataset.id}.")
        self._runner.wake()
        return record


class EvaluationKind:
    """How an evaluation is prepared and committed."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def prepare(self, job: JobRecord, folder: Path) -> Work:  # noqa: ARG002 - nothing to keep between attempts
        """Name the files."""
        spec = {
            "bundle": self._sources.bundle(job.request["model"]),
            "dataset": self._sources.dataset_spec(job.request["dataset"]),
            "batch_size": job.request["batch_size"],
            "slice_by": job.request.get("slice_by"),
        }
        return Work(entry="lmaas_server.jobs.work:run_evaluation", spec=spec, listens=False)

    def commit(self, job: JobRecord, outcome: Outcome) -> Commit:
        """Put the figures on the record; nothing else changes."""
        message = f"Succeeded: {job.request['model']} is measured on {job.request['dataset']}."
        return Commit(model=job.request["model"], result=outcome.result, metrics=outcome.metrics, message=message)


def _check_fits(model: ModelRecord, dataset: DatasetRecord) -> None:
    if model.task == "generation":
        check_readable(dataset.input, dataset.target, param="dataset")
        return
    table = dataset.input["kind"] == model.input["kind"] == "table"
    # A table may hold more columns than the model takes, in another order: it is read as the model's was.
    for key in () if table else ("kind", "shape"):
        if dataset.input.get(key) != model.input.get(key):
            raise InvalidError(
                f"The inputs of {dataset.id} have {key} {dataset.input.get(key)}; {model.id} takes {key} "
                f"{model.input.get(key)}.",
                code="input_mismatch",
                param="dataset",
            )
    lacking = sorted({column["name"] for column in model.input.get("columns", ())} - set(_columns(dataset)))
    if table and lacking:
        raise InvalidError(
            f"{dataset.id} lacks columns that {model.id} takes: {', '.join(lacking[:20])}.",
            code="input_mismatch",
            param="dataset",
        )
    if any(dataset.target.get(key) != model.target.get(key) for key in ("kind", "multiple")):
        raise InvalidError(
            f"The targets of {dataset.id} are of kind {dataset.target['kind']}; "
            f"{model.id} gives {model.target['kind']}.",
            code="target_mismatch",
            param="dataset",
        )


def _check_slice(column: str | None, dataset: DatasetRecord) -> None:
    if column is None or column in _columns(dataset):
        return
    known = ", ".join(_columns(dataset)[:30]) or "none"
    raise InvalidError(
        f"{dataset.id} has no column {column!r} to slice by; its columns: {known}.",
        code="column_unknown",
        param="slice_by",
    )


def _columns(dataset: DatasetRecord) -> list[str]:
    """Return the names of all columns of the file, whatever they are used for."""
    own = [column["name"] for column in dataset.input.get("columns") or ()]
    text = [dataset.input["column"]] if "column" in dataset.input else []
    return own + text + list(dataset.input.get("unused") or ())
