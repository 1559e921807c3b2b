"""What servers send, made by hand, and the last step of a flow."""

from __future__ import annotations

import json

import pytest

from lmaas._request import Answer

JOB = {
    "id": "job-1",
    "object": "job",
    "type": "training",
    "status": "running",
    "created_at": 1.0,
    "progress": {"step": 1, "steps": 10, "epoch": 0, "epochs": 2},
    "metrics": {},
    "request": {},
    "seed": 0,
}
DATASET = {
    "id": "ds-1",
    "object": "dataset",
    "name": "digits",
    "format": "npz",
    "bytes": 3,
    "sha256": "0" * 64,
    "rows": 2,
    "input": {"kind": "tensor", "shape": [2]},
    "target": {"kind": "class", "classes": [0, 1]},
    "created_at": 1.0,
}
DEPLOYMENT = {
    "id": "reader",
    "object": "deployment",
    "name": "reader",
    "status": "ready",
    "variants": [{"model": "digits@1", "weight": 1.0, "role": "champion"}],
    "revision": 1,
    "batching": {"max_batch_size": 64, "max_delay_ms": 2.0},
    "stats": {},
    "created_at": 1.0,
}
PREDICTION = {
    "id": "pred-1",
    "object": "prediction",
    "deployment": "reader",
    "model": "digits@1",
    "outputs": [{"label": 1, "score": 0.9}, {"label": 2, "score": 0.8}],
    "created_at": 1.0,
}
FEEDBACK = {
    "id": "fb-1",
    "object": "feedback",
    "prediction_id": "pred-1",
    "index": 0,
    "kind": "label",
    "value": 1,
    "weight": 1.0,
    "deployment": "reader",
    "model": "digits@1",
    "created_at": 1.0,
}
MODEL = {
    "id": "digits@1",
    "object": "model",
    "created": 1,
    "created_at": 1.0,
    "owned_by": "lmaas",
    "name": "digits",
    "version": 1,
    "task": "classification",
    "architecture": {"type": "mlp"},
    "parameters": 10,
    "bytes": 40,
    "sha256": "0" * 64,
    "metrics": {},
    "aliases": [],
    "lineage": {},
}


def answer(document: object = None, status: int = 200, **headers: str) -> Answer:
    """An answer as a driver gives it; header names take `_` for `-`."""
    body = document if isinstance(document, bytes) else json.dumps(document or {}).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def listed(*items: dict, more: bool = False) -> dict:
    """A page as the server sends it."""
    ids = [item["id"] for item in items] or [None]
    return {"object": "list", "data": list(items), "first_id": ids[0], "last_id": ids[-1], "has_more": more}


def finish(flow, reply=None):
    """Send the last reply into a flow and return its value."""
    with pytest.raises(StopIteration) as stopped:
        flow.send(reply)
    return stopped.value.value
