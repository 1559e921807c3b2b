"""Where a version comes from: job, dataset, feedback and parent, version after version. Knows no HTTP and no files.

What was deleted since is told as far as its job remembers it: a line does not end where somebody tidied up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lmaas_server.records import DatasetRecord, JobRecord, Json, ModelRecord, PageRequest
from lmaas_server.storage import Storage

__all__ = ["Ancestor", "ancestry"]

_MAKERS = ("training", "update")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """One version of a line; `record` is None where it was deleted, `job` and `dataset` where those were."""

    id: str
    record: ModelRecord | None
    job_id: str | None
    job: JobRecord | None
    dataset_id: str | None
    dataset: DatasetRecord | None
    parent: str | None
    serving: tuple[Json, ...] = ()
    tally: tuple[tuple[str, str | None, int], ...] = ()
    """(kind, source, count) of the feedback that says this version took it into account."""

    @property
    def result(self) -> Json:
        """What the job says it came to; nothing where it is gone."""
        return (self.job.result if self.job is not None else None) or {}


def ancestry(storage: Storage, record: ModelRecord, *, limit: int) -> tuple[Ancestor, ...]:
    """Return a version and those it comes from, one after the other, `limit` of them at most."""
    return tuple(_walked(storage, record, limit))


def _walked(storage: Storage, record: ModelRecord, limit: int) -> Iterator[Ancestor]:
    id: str | None = record.id
    seen: set[str] = set()
    while id is not None and id not in seen and len(seen) < limit:
        seen.add(id)
        found = _ancestor(storage, id)
        yield found
        id = found.parent


def _ancestor(storage: Storage, id: str) -> Ancestor:
    record = storage.models.get(id)
    lineage: Json = {} if record is None else record.lineage
    job = _maker(storage, id) if record is None else _job(storage, lineage.get("job"))
    request: Json = {} if job is None else job.request
    result: Json = {} if job is None or job.result is None else job.result
    dataset = lineage.get("dataset") or request.get("dataset")
    return Ancestor(
        id=id,
        record=record,
        job_id=lineage.get("job") or (job.id if job is not None else None),
        job=job,
        dataset_id=dataset,
        dataset=None if dataset is None else storage.datasets.get(dataset),
        parent=lineage.get("parent") or result.get("champion") or _version(request.get("base_model")),
        serving=tuple(_serving(storage, id)),
        tally=tuple(storage.feedback.tally(id)),
    )


def _serving(storage: Storage, model: str) -> Iterator[Json]:
    for deployment in storage.deployments.having(model):
        for variant in deployment.variants:
            if variant["model"] == model:
                yield {"deployment": deployment.name, "role": variant["role"]}


def _job(storage: Storage, id: str | None) -> JobRecord | None:
    return None if id is None else storage.jobs.get(id)


def _maker(storage: Storage, model: str) -> JobRecord | None:
    """Return the job that made a version which is there no longer."""
    pages = (storage.jobs.page(PageRequest(limit=1), type=type, model=model) for type in _MAKERS)
    return next((page.items[0] for page in pages if page.items), None)


def _version(reference: str | None) -> str | None:
    """Return what a training began from, if it is a version and not the name of one that has moved on since."""
    _, _, which = (reference or "").partition("@")
    return reference if which.isdigit() else None
