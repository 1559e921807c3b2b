"""Who may ask."""

from __future__ import annotations

import pytest

from lmaas_server.app import create_app
from lmaas_server.http.auth import ApiKeys, is_loopback
from lmaas_server.settings import Settings


@pytest.fixture
def settings(tmp_path):
    """Two keys."""
    return {"data_dir": tmp_path / "data", "api_keys": "first, second", "prewarm": False}


@pytest.mark.parametrize("key", ["first", "second"])
def test_each_key_is_welcome(http, key):
    assert http.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "api_key_missing"),
        ("Bearer ", "api_key_missing"),
        ("Basic first", "api_key_missing"),
        ("Bearer third", "api_key_unknown"),
        ("Bearer first,second", "api_key_unknown"),
    ],
)
def test_everybody_else_is_not(http, header, code):
    answer = http.get("/v1/jobs", headers={"Authorization": header} if header else None)
    assert (answer.status_code, answer.json["error"]["code"]) == (401, code)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/docs"])
def test_health_and_documentation_are_open(http, path):
    assert http.get(path).status_code == 200


def test_metrics_are_not(http):
    assert http.get("/metrics").status_code == 401


def test_an_idempotency_key_belongs_to_its_caller(http):
    body = {"name": "d", "model": "none"}
    for key in ("first", "second"):
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "same"}
        assert "idempotent-replayed" not in http.post("/v1/deployments", json=body, headers=headers).headers


def test_the_key_itself_is_nowhere_in_the_objects_that_hold_it():
    keys = ApiKeys(["open sesame"])
    assert "sesame" not in repr(keys) + repr(vars(keys)) + keys.caller_of("Bearer open sesame")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])  # noqa: S104 - refused
def test_without_keys_nobody_serves_where_others_can_reach(tmp_path, host):
    with pytest.raises(ValueError, match="LMAAS_SERVER_API_KEYS"):
        create_app(Settings(host=host, data_dir=tmp_path))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9"])
def test_loopback_is_recognised(host):
    assert is_loopback(host)
