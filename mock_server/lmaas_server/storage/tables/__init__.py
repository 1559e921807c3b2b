"""The tables, as they are after the newest migration; knows no records and runs no SQL.

Every noun that is listed has a `position`, the order of insertion: pages are cut by it (a seek in an index,
never an OFFSET), and feedback is learned from in it. Ids stay what callers see.
"""

from lmaas_server.storage.tables.bookkeeping import counters, idempotency_keys
from lmaas_server.storage.tables.feedback import candidate_feedback, feedback, learned_counts
from lmaas_server.storage.tables.ground import metadata
from lmaas_server.storage.tables.serving import (
    deployment_events,
    deployments,
    detectors,
    observations,
    predictions,
    revisions,
)
from lmaas_server.storage.tables.training import aliases, checkpoints, datasets, job_events, jobs, model_names, models

__all__ = [
    "aliases",
    "candidate_feedback",
    "checkpoints",
    "counters",
    "datasets",
    "deployment_events",
    "deployments",
    "detectors",
    "feedback",
    "idempotency_keys",
    "job_events",
    "jobs",
    "learned_counts",
    "metadata",
    "model_names",
    "models",
    "observations",
    "predictions",
    "revisions",
]
