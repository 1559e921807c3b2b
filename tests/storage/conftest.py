"""A fresh database and artifact store for each test."""

from __future__ import annotations

import pytest

from lmaas_server.records import DeploymentRecord, FeedbackRecord, JobRecord, PredictionRecord
from lmaas_server.storage import Artifacts, Database, Storage


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'lmaas.db'}")
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def storage(database):
    return Storage(database)


@pytest.fixture
def artifacts(tmp_path):
    return Artifacts(tmp_path / "artifacts")


@pytest.fixture
def a_job():
    def make(number=1, **fields):
        start = {"type": "training", "status": "queued", "created_at": 1.0, "request": {}, "seed": 0}
        return JobRecord(**{**start, "id": f"job-{number}", **fields})

    return make


@pytest.fixture
def a_prediction():
    def make(number=1, **fields):
        start = {"deployment": "reader", "model": "digits@1", "outputs": [], "rows": 1, "created_at": 1.0}
        return PredictionRecord(**{**start, "id": f"pred-{number}", **fields})

    return make


@pytest.fixture
def an_item():
    def make(number=1, **fields):
        start = {
            "prediction_id": "pred-1",
            "index": 0,
            "kind": "label",
            "value": 3,
            "weight": 1.0,
            "source": None,
            "metadata": {},
            "deployment": "reader",
            "model": "digits@1",
            "created_at": 1.0,
        }
        return FeedbackRecord(**{**start, "id": f"fb-{number}", **fields})

    return make


@pytest.fixture
def add_version(storage):
    def add(name="digits", **fields):
        start = {
            "task": "classification",
            "architecture": {"type": "mlp"},
            "parameters": 10,
            "bytes": 40,
            "sha256": "0" * 64,
            "metrics": {},
            "input": {},
            "target": {},
            "lineage": {},
            "created_at": 1.0,
        }
        return storage.models.add_version(name, **{**start, **fields})

    return add


@pytest.fixture
def a_deployment():
    def make(name="reader", **fields):
        start = {
            "status": "ready",
            "variants": ({"model": "digits@1", "weight": 1.0, "role": "champion"},),
            "revision": 1,
            "batching": {},
            "metadata": {},
            "created_at": 1.0,
        }
        return DeploymentRecord(**{**start, "name": name, **fields})

    return make
