"""Deployments over HTTP: started, changed, rolled back, gone."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from lmaas_server.app import create_app, server_of
from lmaas_server.settings import Settings


@pytest.fixture
def both(deployed, server, other_classifier):
    """`d` serves `blobs@1`; `blobs@2` has other weights."""
    other_classifier.register(server)
    return deployed


@pytest.fixture
def registered(server, classifier, regressor):
    """A model `blobs` of classes and a model `values` of values."""
    classifier.register(server)
    regressor.register(server, name="values")


def outputs(ask, **more):
    return ask.predict(5, **more).json["outputs"]


def test_a_deployment_becomes_ready_by_itself(deployed, http):
    seen = http.get("/v1/deployments/d").json
    assert (seen["status"], seen["revision"], seen["error"]) == ("ready", 1, None)
    assert seen["variants"] == [{"model": "blobs@1", "weight": 1.0, "role": "champion"}]


def test_it_is_starting_until_its_models_are_loaded(ask, server, classifier, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(server.deploying, "_load", lambda variants: go_on.wait(10))
    classifier.register(server)
    made = ask.http.post("/v1/deployments", json={"name": "d", "model": "blobs"}).json
    answer = ask.predict()
    go_on.set()
    assert made["status"] == "starting"
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "deployment_starting")
    assert int(answer.headers["retry-after-ms"]) > 0


def test_files_that_cannot_be_read_make_it_fail_and_say_why(ask, server, classifier):
    record = classifier.register(server)
    (server.artifacts.path(f"models/{record.name}/1") / "weights.safetensors").write_bytes(b"broken")
    ask.deploy("blobs")
    seen = ask.http.get("/v1/deployments/d").json
    assert (seen["status"], seen["error"]["code"]) == ("failed", "model_unusable")
    answer = ask.predict()
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "deployment_failed")
    assert answer.headers["x-should-retry"] == "false"


def test_a_failed_one_serves_once_it_is_given_a_sound_model(ask, server, classifier):
    classifier.register(server)
    classifier.register(server)
    (server.artifacts.path("models/blobs/1") / "weights.safetensors").write_bytes(b"broken")
    ask.deploy("blobs@1")
    seen = ask.http.patch("/v1/deployments/d", json={"model": "blobs@2"}).json
    assert (seen["status"], seen["error"]) == ("ready", None)
    assert ask.predict().status_code == 200


def test_starting_goes_on_after_a_restart(ask, settings, classifier, tmp_path):
    settings = {**settings, "data_dir": tmp_path / "other"}
    server = server_of(create_app(Settings(**settings)))
    classifier.register(server)
    server.deploying.close()  # as if the process ended before a model was loaded
    with pytest.raises(RuntimeError):
        server.deploying.create(_request(), actor="x")
    server.close()
    again = create_app(Settings(**settings))
    server_of(again).start()
    ask.wait_for(lambda: _status(again) == "ready")
    server_of(again).close()


def _status(app):
    return app.test_client().get("/v1/deployments/d").json["status"]


def _request():
    from lmaas.types import DeploymentCreate

    return DeploymentCreate(name="d", model="blobs")


def test_a_second_of_the_same_name_is_a_conflict(deployed, http):
    answer = http.post("/v1/deployments", json={"name": "d", "model": "blobs"})
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "deployment_exists")


def test_new_variants_make_a_new_revision_with_who_and_why(both, http):
    seen = http.patch("/v1/deployments/d", json={"model": "blobs@2", "reason": "better"}).json
    assert (seen["revision"], seen["status"], seen["variants"][0]["model"]) == (2, "ready", "blobs@2")
    history = http.get("/v1/deployments/d/revisions").json["data"]
    assert [(r["revision"], r["reason"], r["actor"]) for r in history] == [
        (2, "better", "anybody"),
        (1, "Created.", "anybody"),
    ]


def test_revisions_come_in_pages(both, http):
    http.patch("/v1/deployments/d", json={"model": "blobs@2"})
    first = http.get("/v1/deployments/d/revisions?limit=1").json
    second = http.get(f"/v1/deployments/d/revisions?limit=1&after={first['last_id']}").json
    assert [(p["data"][0]["revision"], p["has_more"]) for p in (first, second)] == [(2, True), (1, False)]


def test_metadata_and_batching_change_without_a_revision(deployed, http):
    body = {"metadata": {"team": "x"}, "batching": {"max_batch_size": 8}}
    seen = http.patch("/v1/deployments/d", json=body).json
    assert (seen["revision"], seen["metadata"], seen["batching"]["max_batch_size"]) == (1, {"team": "x"}, 8)


@pytest.mark.parametrize("change", [{"model": "blobs@1"}, {"metadata": {}}])
def test_a_change_of_another_revision_is_a_conflict(deployed, http, change):
    answer = http.patch("/v1/deployments/d", json={**change, "if_revision": 9})
    assert (answer.status_code, answer.json["error"]["param"]) == (409, "if_revision")


def test_a_model_that_cannot_be_loaded_does_not_take_the_serving_one_down(both, http, server):
    (server.artifacts.path("models/blobs/2") / "weights.safetensors").write_bytes(b"broken")
    answer = http.patch("/v1/deployments/d", json={"model": "blobs@2"})
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "model_unusable")
    assert both.predict().json["model"] == "blobs@1"


def test_a_rollback_answers_bit_for_bit_as_before(both, http):
    before = outputs(both)
    http.patch("/v1/deployments/d", json={"model": "blobs@2"})
    assert outputs(both) != before
    seen = http.post("/v1/deployments/d/rollback", json={}).json
    assert (seen["revision"], seen["variants"][0]["model"], outputs(both)) == (3, "blobs@1", before)


def test_a_rollback_goes_to_the_revision_that_is_named(both, http):
    for model in ("blobs@2", "blobs@1", "blobs@2"):
        http.patch("/v1/deployments/d", json={"model": model})
    seen = http.post("/v1/deployments/d/rollback", json={"revision": 1, "reason": "calm"}).json
    assert (seen["revision"], seen["variants"][0]["model"]) == (5, "blobs@1")


@pytest.mark.parametrize(("body", "status"), [({}, 409), ({"revision": 7}, 404), ({"revision": 0}, 422)])
def test_a_rollback_to_nowhere_is_refused(deployed, http, body, status):
    assert http.post("/v1/deployments/d/rollback", json=body).status_code == status


def test_a_rollback_to_a_deleted_model_is_refused(both, http):
    http.patch("/v1/deployments/d", json={"model": "blobs@2"})
    assert http.delete("/v1/models/blobs@1").status_code == 200
    answer = http.post("/v1/deployments/d/rollback", json={})
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "model_gone")


def test_traffic_is_split_by_weight_and_a_user_stays(both, http):
    variants = [{"model": "blobs@1", "weight": 3}, {"model": "blobs@2", "weight": 1, "role": "canary"}]
    http.patch("/v1/deployments/d", json={"variants": variants})
    seen = {f"u{n}": {both.predict(user=f"u{n}").json["model"] for _ in range(2)} for n in range(60)}
    assert all(len(models) == 1 for models in seen.values())
    shares = Counter(next(iter(models)) for models in seen.values())
    assert 30 <= shares["blobs@1"] <= 58
    assert shares["blobs@2"] >= 2


def test_without_a_user_the_request_id_decides(both, http):
    http.patch("/v1/deployments/d", json={"variants": [{"model": "blobs@1"}, {"model": "blobs@2"}]})
    models = {both.predict(headers={"X-Request-Id": f"r{n}"}).json["model"] for n in range(20)}
    assert models == {"blobs@1", "blobs@2"}


def test_a_shadow_answers_nobody(both, http):
    variants = [{"model": "blobs@1"}, {"model": "blobs@2", "weight": 99, "role": "shadow"}]
    http.patch("/v1/deployments/d", json={"variants": variants})
    assert {both.predict(user=f"u{n}").json["model"] for n in range(20)} == {"blobs@1"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "model"),
        ({"model": "blobs", "variants": [{"model": "blobs"}]}, "model"),
        ({"variants": []}, "variants"),
        ({"variants": [{"model": "blobs", "weight": 0}]}, "variants"),
        ({"variants": [{"model": "blobs", "role": "shadow"}]}, "variants"),
        ({"variants": [{"model": "blobs"}, {"model": "blobs@1"}]}, "variants[1].model"),
        ({"variants": [{"model": "blobs"}, {"model": "values"}]}, "variants[1].model"),
        ({"variants": [{"model": "blobs", "weight": -1}]}, "variants[0].weight"),
        ({"variants": [{"model": "blobs", "rolle": "canary"}]}, "variants[0].rolle"),
    ],
)
@pytest.mark.usefixtures("registered")
def test_variants_that_cannot_serve_together_are_refused(ask, body, param):
    answer = ask.http.post("/v1/deployments", json={"name": "d", **body})
    assert (answer.status_code, answer.json["error"]["param"]) == (422, param)


def test_an_unknown_model_among_variants_is_named(ask, server, classifier):
    classifier.register(server)
    body = {"name": "d", "variants": [{"model": "blobs"}, {"model": "none"}]}
    answer = ask.http.post("/v1/deployments", json=body)
    assert (answer.status_code, answer.json["error"]["param"]) == (404, "variants[1].model")


def test_an_alias_is_resolved_when_it_is_deployed(both, http):
    http.put("/v1/models/blobs/aliases/best", json={"version": 2})
    http.patch("/v1/deployments/d", json={"model": "blobs@best"})
    http.put("/v1/models/blobs/aliases/best", json={"version": 1})
    assert http.get("/v1/deployments/d").json["variants"][0]["model"] == "blobs@2"


def test_stats_count_what_was_answered_and_said(deployed, http):
    id = deployed.predict(3).json["id"]
    deployed.label(id, 1)
    http.get("/v1/predictions")  # the log is written
    stats = http.get("/v1/deployments/d").json["stats"]
    assert (stats["requests"], stats["rows"], stats["predictions"], stats["feedback"]) == (1, 3, 1, 1)
    assert stats["mean_ms"] > 0


def test_a_request_under_way_is_answered_though_the_deployment_goes(deployed, http, server, monkeypatch):
    began, go_on, answers = threading.Event(), threading.Event(), []
    predictor = server.predictors.get("blobs@1")
    real = predictor.compute

    def slow(*args, **more):
        began.set()
        go_on.wait(10)
        return real(*args, **more)

    monkeypatch.setattr(predictor, "compute", slow)
    asking = threading.Thread(target=lambda: answers.append(deployed.predict()))
    asking.start()
    assert began.wait(10)
    assert http.delete("/v1/deployments/d").status_code == 200
    go_on.set()
    asking.join()
    assert answers[0].status_code == 200
    after = deployed.predict()
    assert (after.status_code, after.json["error"]["code"]) == (404, "deployment_not_found")
    assert "no longer" in after.json["error"]["message"]


def test_what_a_deleted_deployment_answered_can_still_be_read(deployed, http):
    id = deployed.predict().json["id"]
    http.delete("/v1/deployments/d")
    assert http.get(f"/v1/predictions/{id}").json["deployment"] == "d"


def test_a_second_life_begins_at_the_first_revision(both, http):
    http.patch("/v1/deployments/d", json={"model": "blobs@2"})
    http.delete("/v1/deployments/d")
    both.deploy("blobs@1")
    assert http.get("/v1/deployments/d").json["revision"] == 1
    assert both.predict().json["model"] == "blobs@1"
