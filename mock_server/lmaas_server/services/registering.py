"""A finished job's bundle becomes a model version, exactly once. Knows no HTTP, no torch and no gate.

The version's number, its row and its files come in one transaction: whoever sees the row finds the files, and a crash
before the commit leaves neither. The job's own copy stays until the job is recorded as succeeded, so a commit that is
begun again after a crash finds all it needs; files are linked, not copied.
"""

from __future__ import annotations

from lmaas_server.jobs.outcome import Outcome
from lmaas_server.records import JobRecord, Json, ModelRecord
from lmaas_server.services.models import bundle_key
from lmaas_server.storage import Artifacts, Storage

__all__ = ["register"]


def register(
    storage: Storage, artifacts: Artifacts, job: JobRecord, *, name: str, outcome: Outcome, lineage: Json, now: float
) -> ModelRecord:
    """Return the version that a job has made: a new one, or the one it was given before a crash."""
    bundle, model = outcome.bundle, outcome.model
    if bundle is None or model is None:
        raise ValueError(f"{job.id} has made no model")

    def place(record: ModelRecord) -> None:
        artifacts.link_directory(bundle, bundle_key(record))

    return storage.models.add_version(
        name,
        task=model["task"],
        architecture=model["architecture"],
        parameters=model["parameters"],
        bytes=model["bytes"],
        sha256=model["sha256"],
        metrics=outcome.metrics,
        input=model["input"],
        target=model["target"],
        lineage={"job": job.id, **lineage},
        created_at=now,
        place=place,
    )
