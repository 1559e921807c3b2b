"""Whatever is thrown at a route, the server never fails: the answer is below 500, and an error has its four keys."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmaas.types import DeploymentCreate
from lmaas_server.app import create_app, server_of
from lmaas_server.openapi import operations
from lmaas_server.settings import Settings

WORDS = ["type", "training", "update", "evaluation", "dataset", "name", "model", "variants", "inputs", "items", "value"]
WORDS += ["prediction_id", "kind", "label", "rating", "metric", "weight", "role", "architecture", "mlp", "hidden", "d"]
WORDS += ["blobs@1", "blobs", "version", "revision", "metadata", "deployment", "validation", "fraction", "parameters"]

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=20)
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=8), inner),
    max_leaves=12,
)
texts = st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace"))
quickly = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))

WRITING = [o for o in operations() if o.body_kind in {"json", "raw"}]
ALL = [o for o in operations() if not o.is_open]


@pytest.fixture(scope="module")
def live(tmp_path_factory, classifier):
    """One application for all the junk, with a deployment `d` of `blobs@1`; its jobs wait for ever."""
    made = create_app(Settings(data_dir=tmp_path_factory.mktemp("junk"), prewarm=False))
    server = server_of(made)
    classifier.register(server)
    server.deploying.create(DeploymentCreate(name="d", model="blobs"), actor="x")
    server.deploying.close()  # waits until it has been loaded
    assert made.test_client().get("/v1/deployments/d").json["status"] == "ready"
    yield made.test_client()
    server.close()


def path_of(operation, words) -> str:
    path = operation.path
    for name, word in zip(operation.parameters, words, strict=False):
        path = path.replace(f"<{name}>", word)
    return path


def encoded(value) -> bytes:
    return json.dumps(value).encode()


def check(answer) -> None:
    assert answer.status_code < 500, answer.data
    if answer.status_code >= 400:
        assert set(answer.json["error"]) == {"message", "type", "param", "code"}
        assert "traceback" not in answer.text.lower()


@pytest.mark.parametrize("operation", WRITING, ids=lambda o: o.name)
@quickly
@given(body=junk)
def test_junk_that_is_json(live, operation, body):
    path = path_of(operation, ["d", "blobs"])
    check(live.open(path, method=operation.method, data=encoded(body), content_type="application/json"))


@pytest.mark.parametrize("operation", WRITING, ids=lambda o: o.name)
@quickly
@given(body=st.binary(max_size=60), key=st.text(max_size=10))
def test_junk_that_is_not_even_json(live, operation, body, key):
    headers = {"Idempotency-Key": key.encode("utf-8", "replace").decode("latin-1").replace("\n", "").replace("\r", "")}
    path = path_of(operation, ["d", "blobs"])
    for media in ("application/json", "application/x-npy"):
        check(live.open(path, method=operation.method, data=body, content_type=media, headers=headers))


@pytest.mark.parametrize("operation", ALL, ids=lambda o: o.name)
@quickly
@given(
    words=st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=2),
    query=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
)
def test_junk_in_paths_and_queries(live, operation, words, query):
    path = path_of(operation, [quote(word.encode("utf-8", "replace"), safe="") for word in words])
    coded = urlencode({k.encode("utf-8", "replace"): v.encode("utf-8", "replace") for k, v in query.items()})
    check(live.open(f"{path}?{coded}", method=operation.method, json={} if operation.body_kind == "json" else None))


@quickly
@given(array=st.binary(max_size=80))
def test_junk_behind_an_npy_magic(live, array):
    body = b"\x93NUMPY\x01\x00" + array
    check(live.post("/v1/deployments/d/predictions", data=body, content_type="application/x-npy"))


@quickly
@given(body=st.binary(max_size=200), filename=texts)
def test_junk_in_an_upload(live, body, filename):
    name = filename.decode().replace('"', "").replace("\r", "").replace("\n", "")
    head = f'--cut\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    data = head + body + b"\r\n--cut--\r\n"
    check(live.post("/v1/datasets", data=data, content_type="multipart/form-data; boundary=cut"))
