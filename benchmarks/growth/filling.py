"""Fills a database through the storage's own methods: what years of use would leave. Knows no HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lmaas_server.records import DeploymentRecord, FeedbackRecord, JobRecord, Json, PredictionRecord
from lmaas_server.storage import Database, Storage

__all__ = ["MODEL", "fill"]

MODEL = "digits@1"
_BATCH = 5_000
_INPUTS = b'{"inputs": [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 0.5, 0.25, 0.125, 0.0, 0.75, 0.625]]}'
_EVERY = 2
"""Every other prediction, and what is said of it, is of `digits`; the rest are of all deployments in turn."""


def fill(data: Path, *, already: int, rows: int, jobs: int, models: int, deployments: int) -> None:
    """Bring a data directory to so many predictions and items of feedback, and add jobs, models and deployments.

    Args:
        data: Of a server; it may run.
        already: How many predictions an earlier call has left.
        rows: How many predictions there shall be, each with an item of feedback.
        jobs: How many jobs are added.
        models: How many names of models, of one version each.
        deployments: How many deployments, of those models in turn.
    """
    storage = Storage(Database(f"sqlite:///{data / 'lmaas.db'}"))
    try:
        _fill_nouns(storage, jobs=jobs, models=models, deployments=deployments)
        for begin in range(already, rows, _BATCH):
            numbers = range(begin, min(begin + _BATCH, rows))
            storage.predictions.add_many([_prediction(number) for number in numbers])
            storage.feedback.add_many([_feedback(number) for number in numbers])
    finally:
        storage.close()


def _fill_nouns(storage: Storage, *, jobs: int, models: int, deployments: int) -> None:
    served = storage.models.get(MODEL)
    assert served is not None
    for number in range(models):
        storage.models.add_version(
            f"model-{number}",
            task=served.task,
            architecture=served.architecture,
            parameters=served.parameters,
            bytes=served.bytes,
            sha256=served.sha256,
            metrics=served.metrics,
            input=served.input,
            target=served.target,
            lineage=served.lineage,
            created_at=time.time(),
            place=lambda _: None,
        )
    first = storage.deployments.get("digits")
    assert first is not None
    for number in range(deployments):
        variant = {**first.variants[0], "model": f"model-{number % max(1, models)}@1"}
        storage.deployments.create(_another(first, f"deployment-{number}", variant))
    for job in _jobs(jobs):
        storage.jobs.add(job)


def _another(record: DeploymentRecord, name: str, variant: Json) -> DeploymentRecord:
    return replace(record, name=name, variants=(variant,), revision=1, request_key=None)


def _jobs(count: int) -> Iterator[JobRecord]:
    for number in range(count):
        yield JobRecord(
            id=f"job-grown-{number}",
            type="training",
            status="succeeded",
            created_at=time.time(),
            request={"type": "training", "name": "digits", "dataset": "ds-none"},
            seed=0,
            finished_at=time.time(),
            metrics={"accuracy": 0.9},
            model=MODEL,
            deployment=None,
        )


def _deployment(number: int) -> str:
    return "digits" if number % _EVERY == 0 else f"deployment-{number // _EVERY % 1000}"


def _prediction(number: int) -> PredictionRecord:
    return PredictionRecord(
        id=f"pred-grown-{number}",
        deployment=_deployment(number),
        model=MODEL,
        outputs=[{"label": number % 10, "score": 0.9}],
        rows=1,
        created_at=time.time(),
        inputs=_INPUTS,
        inputs_type="application/json",
    )


def _feedback(number: int) -> FeedbackRecord:
    return FeedbackRecord(
        id=f"fb-grown-{number}",
        prediction_id=f"pred-grown-{number}",
        index=0,
        kind="label",
        value=number % 10,
        weight=1.0,
        source=f"person-{number % 50}",
        metadata={},
        deployment=_deployment(number),
        model=MODEL,
        created_at=time.time(),
        applied_in=MODEL if number % 4 < 2 else None,
        verdict=number % 3 == 0,
        predicted_at=time.time(),
    )
