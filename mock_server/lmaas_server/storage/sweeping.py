"""Tidies the artifact store against the rows at start-up; knows both and decides nothing else."""

from __future__ import annotations

from lmaas_server.storage.artifacts import Artifacts
from lmaas_server.storage.jobs import OPEN
from lmaas_server.storage.store import Storage


def sweep(storage: Storage, artifacts: Artifacts) -> list[str]:
    """Remove every artifact that no row speaks of and return their keys.

    A crash between the file and its row leaves the file; the row is what counts. Call it at start-up only, before
    uploads and jobs: one that is under way has its file before its row.
    """
    artifacts.sweep()
    storage.jobs.drop_checkpoints_of("failed", "cancelled")
    jobs = {job.id for job in storage.jobs.with_status(*OPEN)}
    datasets = storage.datasets.ids()
    models = {id.replace("@", "/") for id in storage.models.ids()}
    orphans = [
        *(key for key in artifacts.keys("datasets") if key.removeprefix("datasets/") not in datasets),
        *(key for key in artifacts.keys("models", 2) if key.removeprefix("models/") not in models),
        *(key for key in artifacts.keys("jobs") if key.removeprefix("jobs/") not in jobs),
    ]
    for key in orphans:
        artifacts.delete(key)
    return orphans
