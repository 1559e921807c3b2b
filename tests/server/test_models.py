"""The registry over HTTP."""

from __future__ import annotations

import pytest


@pytest.fixture
def two(ask, server, classifier):
    """Two versions of `blobs`."""
    classifier.register(server)
    classifier.register(server)
    return ask.http


@pytest.mark.parametrize("reference", ["blobs@2", "blobs", "blobs@latest", "blobs%402"])
def test_a_version_goes_by_its_number_and_the_newest_by_the_name(two, reference):
    assert two.get(f"/v1/models/{reference}").json["id"] == "blobs@2"


def test_a_model_says_what_it_takes_and_gives(two):
    model = two.get("/v1/models/blobs@1").json
    assert (model["object"], model["input"]["shape"], model["target"]["classes"]) == ("model", [4], [0, 1, 2])
    assert model["created"] == int(model["created_at"])


def test_an_unknown_version_is_told_with_those_there_are(two):
    answer = two.get("/v1/models/blobs@9")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "model_not_found")
    assert "1, 2" in answer.json["error"]["message"]


def test_an_alias_works_where_an_id_does_and_moves(two):
    for version in (1, 2):
        assert two.put("/v1/models/blobs/aliases/best", json={"version": version}).json["aliases"] == ["best"]
        assert two.get("/v1/models/blobs@best").json["version"] == version


def test_a_dropped_alias_means_nothing_and_the_version_stays(two):
    two.put("/v1/models/blobs/aliases/best", json={"version": 1})
    assert two.delete("/v1/models/blobs/aliases/best").json["deleted"] is True
    assert two.get("/v1/models/blobs@best").status_code == 404
    assert two.get("/v1/models/blobs@1").status_code == 200


@pytest.mark.parametrize(
    ("alias", "body", "status"),
    [
        ("best", {"version": 3}, 404),
        ("best", {"version": 0}, 422),
        ("best", {"version": 10**30}, 422),
        ("best", {"version": "1"}, 422),
        ("best", {}, 422),
        ("latest", {"version": 1}, 422),
        ("7", {"version": 1}, 422),
        ("a b", {"version": 1}, 422),
    ],
)
def test_an_alias_that_means_nothing_is_refused(two, alias, body, status):
    assert two.put(f"/v1/models/blobs/aliases/{alias}", json=body).status_code == status


def test_dropping_an_alias_that_is_not_there_is_told(two):
    answer = two.delete("/v1/models/blobs/aliases/none")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "alias_not_found")


def test_lists_filter_by_name_and_alias(two, server, other_classifier):
    other_classifier.register(server, name="other")
    two.put("/v1/models/blobs/aliases/best", json={"version": 1})
    ids = {
        query: [m["id"] for m in two.get(f"/v1/models?{query}").json["data"]] for query in ("name=other", "alias=best")
    }
    assert ids == {"name=other": ["other@1"], "alias=best": ["blobs@1"]}


def test_weights_are_the_file_their_hash_says(two, classifier):
    with two.get("/v1/models/blobs@1/weights") as answer:
        assert answer.data == (classifier.bundle / "weights.safetensors").read_bytes()
        assert answer.headers["etag"].strip('"') == two.get("/v1/models/blobs@1").json["sha256"]


def test_a_deleted_version_is_gone_and_its_number_stays_taken(two, server, classifier):
    assert two.delete("/v1/models/blobs").json["id"] == "blobs@2"
    assert two.get("/v1/models/blobs@2").status_code == 404
    assert not server.artifacts.path("models/blobs/2").exists()
    assert classifier.register(server).id == "blobs@3"


def test_a_version_that_serves_cannot_be_deleted(deployed, http):
    answer = http.delete("/v1/models/blobs@1")
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "model_in_use")
    assert "'d'" in answer.json["error"]["message"]
