"""The same request twice is done once."""

from __future__ import annotations

import threading

import pytest

KEY = {"Idempotency-Key": "k-1"}


def test_the_same_upload_again_is_answered_from_memory(ask, http):
    content = ask.npz(x=[[1.0]], y=[0])
    first, second = ask.upload(content, headers=KEY), ask.upload(content, headers=KEY)
    assert first.json == second.json
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert len(http.get("/v1/datasets").json["data"]) == 1


def test_an_upload_cut_differently_is_still_the_same(ask, http):
    content = ask.npz(x=[[1.0]], y=[0])
    first = ask.upload(content, headers=KEY).json
    body = ask.multipart(content).replace(b"--cut", b"--else")
    second = http.post("/v1/datasets", data=body, content_type="multipart/form-data; boundary=else", headers=KEY)
    assert second.json["id"] == first["id"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/deployments", {"name": "x", "model": "blobs"}),
        ("PATCH", "/v1/deployments/d", {"model": "blobs@1"}),
        ("POST", "/v1/feedback", {"prediction_id": "{id}", "kind": "label", "value": 1}),
        ("PUT", "/v1/models/blobs/aliases/best", {"version": 1}),
        ("DELETE", "/v1/deployments/d", None),
        ("POST", "/v1/jobs", {"type": "training", "dataset": "{ds}", "name": "m"}),
    ],
)
def test_every_change_is_done_once_and_answered_twice(deployed, server, method, path, body):
    server.runner.stop(0)
    names = {"{id}": deployed.predict().json["id"], "{ds}": deployed.upload(deployed.npz(**data())).json["id"]}
    body = body and {key: names.get(value, value) for key, value in body.items()}
    first, second = (deployed.http.open(path, method=method, json=body, headers=KEY) for _ in range(2))
    assert (first.status_code, first.data) == (200, second.data), first.json
    assert second.headers["idempotent-replayed"] == "true"


def data():
    return {"x": [[float(i % 2)] for i in range(40)], "y": [i % 2 for i in range(40)]}


def test_the_same_key_with_another_body_is_a_conflict(ask, http):
    ask.upload(ask.npz(x=[[1.0]], y=[0]), headers=KEY)
    answer = ask.upload(ask.npz(x=[[2.0]], y=[0]), headers=KEY)
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "idempotency_key_reused")
    assert answer.headers["x-should-retry"] == "false"


def test_another_path_is_another_key(deployed, http):
    assert http.delete("/v1/deployments/d", headers=KEY).status_code == 200
    answer = http.delete("/v1/models/blobs@1", headers=KEY)
    assert (answer.status_code, answer.json["id"]) == (200, "blobs@1")


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "é"])
def test_a_key_that_is_none_is_refused(shared, key):
    answer = shared.http.post("/v1/jobs", json={}, headers={"Idempotency-Key": key.encode().decode("latin-1")})
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "idempotency_key_invalid")


def test_while_the_first_is_at_work_the_second_is_told_to_come_back(ask, http, server, monkeypatch):
    began, go_on = threading.Event(), threading.Event()
    real = server.storage.datasets.add

    def slow(record):
        began.set()
        go_on.wait(10)
        return real(record)

    monkeypatch.setattr(server.storage.datasets, "add", slow)
    content, answers = ask.npz(x=[[1.0]], y=[0]), []
    first = threading.Thread(target=lambda: answers.append(ask.upload(content, headers=KEY)))
    first.start()
    assert began.wait(10)
    second = ask.upload(content, headers=KEY)
    go_on.set()
    first.join()
    assert (second.status_code, second.json["error"]["code"]) == (409, "request_in_progress")
    assert second.headers["x-should-retry"] == "true"
    assert ask.upload(content, headers=KEY).json == answers[0].json


def test_a_request_that_failed_for_good_fails_the_same_way_again(http):
    body = {"name": "d", "model": "none"}
    first = http.post("/v1/deployments", json=body, headers=KEY)
    second = http.post("/v1/deployments", json=body, headers=KEY)
    assert (first.status_code, second.data) == (404, first.data)
    assert second.headers["idempotent-replayed"] == "true"
    assert second.headers["x-should-retry"] == "false"


def test_a_bug_is_not_remembered(ask, server, monkeypatch):
    content = ask.npz(x=[[1.0]], y=[0])
    with monkeypatch.context() as broken:
        broken.setattr(server.storage.datasets, "add", lambda record: 1 / 0)
        assert ask.upload(content, headers=KEY).status_code == 500
    assert ask.upload(content, headers=KEY).status_code == 200


def test_a_crash_between_the_work_and_its_answer_does_not_do_it_twice(ask, http, server):
    """The key is forgotten, as at a start after a crash; the id of the work is made from it and found again."""
    content = ask.npz(x=[[1.0]], y=[0])
    first = ask.upload(content, headers=KEY).json
    server.storage.idempotency.purge(before=1e12)
    second = ask.upload(content, headers=KEY)
    assert "idempotent-replayed" not in second.headers
    assert second.json == first
    assert len(http.get("/v1/datasets").json["data"]) == 1


class TestPredictions:
    """They keep their own memory: the log."""

    def test_a_repeated_prediction_is_the_first_one(self, deployed, http):
        first, second = deployed.predict(2, headers=KEY), deployed.predict(2, headers=KEY)
        assert first.data == second.data
        assert second.headers["idempotent-replayed"] == "true"
        assert len(http.get("/v1/predictions").json["data"]) == 1

    def test_with_other_rows_it_is_a_conflict(self, deployed):
        deployed.predict(2, headers=KEY)
        answer = deployed.predict(3, headers=KEY)
        assert (answer.status_code, answer.json["error"]["code"]) == (409, "idempotency_key_reused")

    def test_one_that_failed_is_tried_again(self, deployed):
        assert deployed.predict(1, name="none", headers=KEY).status_code == 404
        assert deployed.predict(1, headers=KEY).status_code == 200
