"""The bytes on the wire of every endpoint: method, path, query and body, pinned with respx."""

from __future__ import annotations

import hashlib
import io
import json

import httpx
import numpy as np
import pytest
import respx
from sdk_samples import DATASET, DEPLOYMENT, FEEDBACK, JOB, MODEL, PREDICTION, listed

from lmaas import ChecksumError, LMaaS
from lmaas.types import MLP, Adam, EvaluationRequest, GuardSpec, Prediction, UpdatePolicySpec, VariantSpec

URL = "http://127.0.0.1:8000"
DELETED = {"id": "x", "object": "x", "deleted": True}
KEY = {"idempotency_key": "k"}


@pytest.fixture
def client():
    with LMaaS(base_url=URL, max_retries=0) as opened:
        yield opened


@pytest.fixture
def wire():
    with respx.mock(base_url=URL) as router:
        yield router


SIMPLE = [
    ("GET", "/v1/jobs/job-1", JOB, lambda c: c.jobs.retrieve("job-1")),
    ("POST", "/v1/jobs/job-1/cancel", JOB, lambda c: c.jobs.cancel("job-1")),
    ("POST", "/v1/jobs/job-1/pause", JOB, lambda c: c.jobs.pause("job-1")),
    ("POST", "/v1/jobs/job-1/resume", JOB, lambda c: c.jobs.resume("job-1")),
    ("GET", "/v1/jobs/job-1/checkpoints?limit=100", listed(), lambda c: c.jobs.checkpoints("job-1")),
    ("GET", "/v1/jobs/job-1/events?limit=1000&order=asc", listed(), lambda c: list(c.jobs.events("job-1"))),
    (
        "GET",
        "/v1/jobs?type=update&status=failed&deployment=reader&model=digits%401&limit=5&order=asc",
        listed(),
        lambda c: c.jobs.list(
            type="update", status="failed", deployment="reader", model="digits@1", limit=5, order="asc"
        ).page(),
    ),
    ("GET", "/v1/datasets/ds-1", DATASET, lambda c: c.datasets.retrieve("ds-1")),
    ("DELETE", "/v1/datasets/ds-1", DELETED, lambda c: c.datasets.delete("ds-1")),
    ("GET", "/v1/datasets/ds-1/content", {}, lambda c: c.datasets.content("ds-1")),
    ("GET", "/v1/datasets/ds-1/rows?limit=3", listed(), lambda c: c.datasets.rows("ds-1", limit=3)),
    (
        "GET",
        "/v1/datasets?name=digits&after=ds-0",
        listed(),
        lambda c: c.datasets.list(name="digits", after="ds-0").page(),
    ),
    ("GET", "/v1/models/digits@1", MODEL, lambda c: c.models.retrieve("digits@1")),
    ("DELETE", "/v1/models/digits@1", DELETED, lambda c: c.models.delete("digits@1")),
    ("GET", "/v1/models/digits@1/weights", {}, lambda c: c.models.weights("digits@1")),
    ("GET", "/v1/models?name=digits&alias=best", listed(), lambda c: c.models.list(name="digits", alias="best").page()),
    ("DELETE", "/v1/models/digits/aliases/best", DELETED, lambda c: c.models.delete_alias("digits", "best")),
    ("GET", "/v1/deployments/reader", DEPLOYMENT, lambda c: c.deployments.retrieve("reader")),
    ("GET", "/v1/deployments/reader", DEPLOYMENT, lambda c: c.deployments.wait("reader")),
    ("DELETE", "/v1/deployments/reader", DELETED, lambda c: c.deployments.delete("reader")),
    ("GET", "/v1/deployments/reader/revisions", listed(), lambda c: c.deployments.revisions("reader").page()),
    ("GET", "/v1/deployments", listed(), lambda c: c.deployments.list().page()),
    ("GET", "/v1/predictions/pred-1", PREDICTION, lambda c: c.predictions.retrieve("pred-1")),
    ("DELETE", "/v1/predictions/pred-1", DELETED, lambda c: c.predictions.delete("pred-1")),
    ("GET", "/v1/predictions?deployment=reader", listed(), lambda c: c.predictions.list(deployment="reader").page()),
    ("GET", "/v1/feedback/fb-1", FEEDBACK, lambda c: c.feedback.retrieve("fb-1")),
    ("DELETE", "/v1/feedback/fb-1", DELETED, lambda c: c.feedback.delete("fb-1")),
    ("DELETE", "/v1/feedback/fb-1", DELETED, lambda c: c.feedback.retract("fb-1")),
    (
        "GET",
        "/v1/feedback?deployment=reader&prediction=pred-1&applied=false",
        listed(),
        lambda c: c.feedback.list(deployment="reader", prediction="pred-1", applied=False).page(),
    ),
    ("GET", "/v1/jobs/a%2Fb%3Fc", JOB, lambda c: c.jobs.retrieve("a/b?c")),
]


@pytest.mark.parametrize("case", SIMPLE, ids=[f"{method} {target}" for method, target, *_ in SIMPLE])
def test_requests_without_a_body(client, wire, case):
    method, target, document, act = case
    wire.route().respond(json=document)
    act(client)
    request = wire.calls.last.request
    assert (request.method, request.url.raw_path.decode(), request.content) == (method, target, b"")


TRAINING = {
    "type": "training",
    "dataset": "ds-1",
    "name": "digits",
    "architecture": {
        "type": "mlp",
        "hidden": [512, 512],
        "activation": "relu",
        "dropout": 0.0,
        "batch_norm": False,
    },
    "epochs": 5,
    "optimizer": {"type": "adam", "lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-08},
    "seed": 0,
    "metadata": {},
}
BODIES = [
    (
        "POST /v1/jobs",
        JOB,
        lambda c: c.train(
            "ds-1",
            name="digits",
            architecture=MLP(hidden=(512, 512)),
            epochs=np.int64(5),
            optimizer=Adam(lr=0.01),
            seed=0,
        ),
        TRAINING,
    ),
    (
        "POST /v1/jobs",
        JOB,
        lambda c: c.evaluate("digits@1", "ds-1"),
        {"type": "evaluation", "model": "digits@1", "dataset": "ds-1", "metadata": {}},
    ),
    (
        "POST /v1/jobs",
        JOB,
        lambda c: c.jobs.create(EvaluationRequest(model="digits@1", dataset="ds-1")),
        {"type": "evaluation", "model": "digits@1", "dataset": "ds-1", "metadata": {}},
    ),
    (
        "POST /v1/jobs",
        JOB,
        lambda c: c.update("reader", strategy="finetune", seed=3),
        {
            "type": "update",
            "deployment": "reader",
            "strategy": "finetune",
            "max_source_share": 0.5,
            "promote": "auto",
            "dry_run": False,
            "seed": 3,
            "metadata": {},
        },
    ),
    ("PUT /v1/models/digits/aliases/best", MODEL, lambda c: c.models.set_alias("digits", "best", 1), {"version": 1}),
    (
        "POST /v1/deployments",
        DEPLOYMENT,
        lambda c: c.deploy("digits@1", name="reader"),
        {"name": "reader", "model": "digits@1", "metadata": {}},
    ),
    (
        "POST /v1/deployments",
        DEPLOYMENT,
        lambda c: c.deployments.create(name="reader", variants=[VariantSpec(model="a@1", weight=3)]),
        {"name": "reader", "variants": [{"model": "a@1", "weight": 3.0, "role": "champion"}], "metadata": {}},
    ),
    (
        "PATCH /v1/deployments/reader",
        DEPLOYMENT,
        lambda c: c.deployments.update("reader", model="digits@2", if_revision=1, reason="better"),
        {"model": "digits@2", "if_revision": 1, "reason": "better"},
    ),
    (
        "PATCH /v1/deployments/reader",
        DEPLOYMENT,
        lambda c: c.deployments.update("reader", update_policy=None),
        {"update_policy": None},
    ),
    (
        "PATCH /v1/deployments/reader",
        DEPLOYMENT,
        lambda c: c.deployments.update("reader", guard={"max_latency_factor": None}, reason="slow is fine"),
        {"guard": {**GuardSpec().model_dump(), "max_latency_factor": None}, "reason": "slow is fine"},
    ),
    (
        "POST /v1/deployments",
        DEPLOYMENT,
        lambda c: c.deploy("digits@1", name="reader", update_policy=UpdatePolicySpec(min_feedback=9)),
        {
            "name": "reader",
            "model": "digits@1",
            "update_policy": {"min_feedback": 9, "on_drift": False, "strategy": "replay_distill", "promote": "auto"},
            "metadata": {},
        },
    ),
    (
        "POST /v1/deployments/reader/promote",
        DEPLOYMENT,
        lambda c: c.deployments.promote("reader", "digits@2", reason="proven", if_revision=4),
        {"model": "digits@2", "reason": "proven", "if_revision": 4},
    ),
    ("POST /v1/deployments/reader/promote", DEPLOYMENT, lambda c: c.deployments.promote("reader"), {}),
    (
        "POST /v1/deployments/reader/rollback",
        DEPLOYMENT,
        lambda c: c.deployments.rollback("reader", revision=1),
        {"revision": 1},
    ),
    (
        "POST /v1/deployments/reader/predictions",
        PREDICTION,
        lambda c: c.predict("reader", [[0.5, 1], (2, 3)], top_k=2, user="me", store=False),
        {"inputs": [[0.5, 1], [2, 3]], "parameters": {"top_k": 2}, "user": "me", "store": False},
    ),
    (
        "POST /v1/deployments/reader/predictions",
        PREDICTION,
        lambda c: c.predictions.create("reader", b"PNG"),
        {"inputs": [{"base64": "UE5H"}]},
    ),
    (
        "POST /v1/feedback",
        FEEDBACK,
        lambda c: c.feedback.create("pred-1", kind="rating", value=1),
        {"prediction_id": "pred-1", "index": 0, "kind": "rating", "value": 1, "metadata": {}},
    ),
]


@pytest.mark.parametrize("case", BODIES, ids=[f"{target}-{n}" for n, (target, *_) in enumerate(BODIES)])
def test_requests_with_a_json_body(client, wire, case):
    target, document, act, body = case
    wire.route().respond(json=document)
    act(client)
    request = wire.calls.last.request
    assert (f"{request.method} {request.url.path}", json.loads(request.content)) == (target, body)
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"].startswith("lmaas-")


def test_an_array_travels_as_npy_with_its_parameters_in_the_query(client, wire):
    wire.route().respond(json=PREDICTION)
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    client.predict("reader", rows, top_k=3, probabilities=True, user="ä", store=False)
    request = wire.calls.last.request
    assert request.url.query == b"top_k=3&probabilities=true&user=%C3%A4&store=false"
    assert (request.headers["content-type"], request.headers["accept"]) == ("application/x-npy", "application/json")
    assert np.array_equal(np.load(io.BytesIO(request.content)), rows)


def test_a_picture_on_disk_is_one_row(client, wire, tmp_path):
    wire.route().respond(json=PREDICTION)
    path = tmp_path / "digit.png"
    path.write_bytes(b"PNG")
    client.predict("reader", path)
    assert json.loads(wire.calls.last.request.content) == {"inputs": [{"base64": "UE5H"}]}


def test_feedback_sends_an_item_for_each_row_with_ids_from_the_key(client, wire):
    wire.route().respond(json=listed(FEEDBACK))
    prediction = Prediction.model_validate(PREDICTION)
    client.feedback(prediction, labels=np.array([4, 9]), source="me", idempotency_key="k")
    items = json.loads(wire.calls.last.request.content)["items"]
    ids = [f"fb-{hashlib.sha256(f'k:{n}'.encode()).hexdigest()[:24]}" for n in (0, 1)]
    expected = {"prediction_id": "pred-1", "kind": "label", "source": "me", "metadata": {}}
    assert items == [expected | {"id": ids[n], "index": n, "value": v} for n, v in enumerate([4, 9])]


def test_deploying_under_a_name_that_serves_makes_a_new_revision(client, wire):
    wire.post("/v1/deployments").respond(409, json={"error": {"message": "there", "code": "deployment_exists"}})
    patch = wire.patch("/v1/deployments/reader").respond(json=DEPLOYMENT | {"revision": 2})
    assert client.deploy("digits@2", name="reader", idempotency_key="k").revision == 2
    request = patch.calls.last.request
    assert (json.loads(request.content)["model"], request.headers["idempotency-key"]) == ("digits@2", "k-update")


def stored(request: httpx.Request) -> httpx.Response:
    """Answer an upload with the checksum of the file part."""
    _, rest = request.content.rsplit(b"octet-stream\r\n\r\n", 1)
    file = rest[: rest.rindex(b"\r\n--")]
    return httpx.Response(200, json=DATASET | {"sha256": hashlib.sha256(file).hexdigest()})


def test_an_upload_is_multipart_under_a_boundary_from_the_key(client, wire):
    wire.post("/v1/datasets").mock(side_effect=stored)
    client.datasets.create(b"abc", name="digits", target="class", **KEY)
    request = wire.calls.last.request
    boundary = f"lmaas-{hashlib.sha256(b'k').hexdigest()[:32]}"
    assert request.headers["content-type"] == f"multipart/form-data; boundary={boundary}"
    assert "transfer-encoding" not in request.headers
    assert int(request.headers["content-length"]) == len(request.content)
    assert (
        request.content
        == (
            f'--{boundary}\r\nContent-Disposition: form-data; name="name"\r\n\r\ndigits\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="target"\r\n\r\n{{"kind":"class"}}\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="data"\r\n'
            f"Content-Type: application/octet-stream\r\n\r\nabc\r\n--{boundary}--\r\n"
        ).encode()
    )


def test_a_retried_upload_sends_the_same_bytes(wire, tmp_path, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    path = tmp_path / "digits.npz"
    path.write_bytes(bytes(range(256)) * 20_000)
    sent, told = [], []

    def answer(request):
        sent.append(request.content)
        if len(sent) == 1:
            raise httpx.ReadError("reset")
        return stored(request)

    wire.post("/v1/datasets").mock(side_effect=answer)
    with LMaaS(base_url=URL) as client:
        client.datasets.create(path, on_progress=lambda done, total: told.append((done, total)))
    size = path.stat().st_size
    assert sent[0] == sent[1]
    assert told == 2 * [(min(n << 20, size), size) for n in range(1, 6)]


def test_other_bytes_on_the_server_are_an_error_and_are_deleted(client, wire):
    wire.post("/v1/datasets").respond(json=DATASET)
    delete = wire.delete("/v1/datasets/ds-1").respond(json=DELETED)
    with pytest.raises(ChecksumError, match="0000"):
        client.datasets.create(b"abc")
    assert delete.called


def test_training_on_arrays_uploads_them_first(client, wire):
    wire.post("/v1/datasets").mock(side_effect=stored)
    jobs = wire.post("/v1/jobs").respond(json=JOB)
    client.train((np.ones((2, 3)), [0, 1]), name="digits", idempotency_key="k")
    keys = [call.request.headers["idempotency-key"] for call in wire.calls]
    assert (keys, json.loads(jobs.calls.last.request.content)["dataset"]) == (["k-dataset", "k"], "ds-1")


def test_every_request_carries_the_key_the_agent_and_extra_headers(wire):
    wire.route().respond(json=JOB)
    with LMaaS(base_url=URL, api_key="sk-1", extra_headers={"x-team": "a"}) as client:
        client.jobs.retrieve("job-1", extra_headers={"x-tag": "b"})
    headers = wire.calls.last.request.headers
    assert (headers["authorization"], headers["x-team"], headers["x-tag"]) == ("Bearer sk-1", "a", "b")
    assert headers["user-agent"].startswith("lmaas-python/")


def test_a_client_given_no_key_sends_none(client, wire, monkeypatch):
    wire.route().respond(json=JOB)
    client.jobs.retrieve("job-1")
    assert "authorization" not in wire.calls.last.request.headers
