"""Jobs over HTTP: asked for, refused, listed, followed. What runs them has tests of its own."""

from __future__ import annotations

import json

import pytest

from lmaas_server.storage.diary import Entry

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def idle(ask, server):
    """Requests to a server whose jobs wait for ever, and a dataset."""
    server.runner.stop(0)
    ask.dataset = ask.upload(ask.npz(**_data())).json["id"]
    return ask


@pytest.fixture
def refusing(shared):
    """The shared application, which these tests leave as it was, and a dataset."""
    if not hasattr(shared, "dataset"):
        shared.dataset = shared.upload(shared.npz(**_data())).json["id"]
    return shared


def _data():
    return {"x": [[float(i % 2), 0.0] for i in range(40)], "y": [i % 2 for i in range(40)]}


def train(ask, **more):
    return ask.http.post("/v1/jobs", json={"type": "training", "dataset": ask.dataset, "name": "m", **more})


def test_a_job_is_queued_with_every_default_on_its_record(idle):
    job = train(idle).json
    assert (job["status"], job["type"], job["model"], job["error"]) == ("queued", "training", None, None)
    assert all(job["request"][name] is not None for name in ("epochs", "batch_size", "optimizer", "loss", "seed"))


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"architecture": {"type": "resnet"}}, "architecture.type"),
        ({"architecture": {"type": "mlp", "hidden": [0]}}, "architecture.hidden[0]"),
        ({"architecture": {"type": "mlp", "hidden": [8, -1]}}, "architecture.hidden[1]"),
        ({"architecture": {"type": "mlp", "hiden": [8]}}, "architecture.hiden"),
        ({"architecture": {"hidden": [8]}}, "architecture.type"),
        ({"optimizer": {"type": "adamx"}}, "optimizer.type"),
        ({"optimizer": {"type": "adam", "lr": "fast"}}, "optimizer.lr"),
        ({"schedule": {"type": "spiral"}}, "schedule.type"),
        ({"loss": {"type": "mae"}}, "loss"),
        ({"epochs": 0}, "epochs"),
        ({"epoch": 3}, "epoch"),
        ({"seed": 2**63}, "seed"),
        ({"name": "no spaces"}, "name"),
        ({"metadata": {"a": 1}}, "metadata.a"),
    ],
)
def test_a_wrong_request_names_the_place(refusing, change, param):
    answer = train(refusing, **change)
    assert answer.status_code == 422, answer.json
    assert answer.json["error"]["param"].startswith(param)
    assert refusing.http.get("/v1/jobs").json["data"] == []


@pytest.mark.parametrize(
    ("change", "meant"),
    [({"epoch": 3}, "epochs"), ({"optimizer": {"type": "adm"}}, "adam"), ({"architecture": {"type": "mpl"}}, "mlp")],
)
def test_a_misspelt_word_is_told_the_closest_one(refusing, change, meant):
    assert f"did you mean '{meant}'?" in train(refusing, **change).json["error"]["message"]


def test_a_layer_of_a_billion_is_refused_before_anything_starts(refusing):
    answer = train(refusing, architecture={"type": "mlp", "hidden": [10**9]})
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "too_large_for_memory")
    assert refusing.http.get("/v1/jobs").json["data"] == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"type": "training", "dataset": "ds-none", "name": "m"}, "dataset"),
        ({"type": "evaluation", "dataset": "ds-none", "model": "none"}, "model"),
        ({"type": "update", "deployment": "none"}, "deployment"),
    ],
)
def test_what_is_not_there_is_not_found(refusing, body, param):
    answer = refusing.http.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json["error"]["param"]) == (404, param)


def test_lists_filter_by_type_and_status(idle, http):
    id = train(idle).json["id"]
    found = {q: [job["id"] for job in http.get(f"/v1/jobs?{q}").json["data"]] for q in ("type=training", "type=update")}
    assert found == {"type=training": [id], "type=update": []}
    assert [job["id"] for job in http.get("/v1/jobs?status=queued").json["data"]] == [id]
    assert http.get("/v1/jobs?status=done").status_code == 422


def test_a_queued_job_is_cancelled_once(idle, http):
    id = train(idle).json["id"]
    assert http.post(f"/v1/jobs/{id}/cancel").json["status"] == "cancelled"
    assert http.post(f"/v1/jobs/{id}/cancel").status_code == 409


def test_a_queued_job_can_wait_and_go_on(idle, http):
    id = train(idle).json["id"]
    states = [http.post(f"/v1/jobs/{id}/{verb}").json["status"] for verb in ("pause", "resume")]
    assert states == ["paused", "queued"]


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume"])
def test_nothing_can_be_asked_of_a_job_that_is_not_there(http, verb):
    assert http.post(f"/v1/jobs/job-none/{verb}").status_code == 404


def test_events_are_numbered_without_gaps_oldest_first(idle, http):
    id = train(idle).json["id"]
    http.post(f"/v1/jobs/{id}/cancel")
    events = http.get(f"/v1/jobs/{id}/events").json["data"]
    assert [event["seq"] for event in events] == [1, 2]
    assert events[-1]["data"]["status"] == "cancelled"
    later = http.get(f"/v1/jobs/{id}/events?after={events[0]['id']}").json["data"]
    assert later == events[1:]


def lines(answer) -> list[str]:
    return answer.text.split("\n\n")[:-1]


def test_a_stream_of_an_ended_job_gives_its_events_and_ends(idle, http):
    id = train(idle).json["id"]
    http.post(f"/v1/jobs/{id}/cancel")
    first, second, done = lines(http.get(f"/v1/jobs/{id}/events", headers=STREAM))
    number, event, data = second.split("\n")
    assert (number, event, done) == ("id: 2", "event: status", "data: [DONE]")
    assert json.loads(data.removeprefix("data: "))["seq"] == 2
    assert first.startswith("id: 1\n")


@pytest.mark.parametrize(("last", "left"), [("1", 1), ("2", 0), ("", 2)])
def test_a_stream_goes_on_after_the_last_event_that_arrived(idle, http, last, left):
    id = train(idle).json["id"]
    http.post(f"/v1/jobs/{id}/cancel")
    answer = http.get(f"/v1/jobs/{id}/events", headers={**STREAM, "Last-Event-ID": last})
    assert len(lines(answer)) == left + 1


def test_a_stream_that_goes_on_from_nowhere_is_refused(idle, http):
    id = train(idle).json["id"]
    answer = http.get(f"/v1/jobs/{id}/events", headers={**STREAM, "Last-Event-ID": "evt-x"})
    assert (answer.status_code, answer.json["error"]["param"]) == (422, "Last-Event-ID")


def test_a_stream_follows_a_job_while_it_goes_on(idle, http, server):
    id, seen = train(idle).json["id"], []
    answer = http.get(f"/v1/jobs/{id}/events", headers=STREAM)
    chunks = iter(answer.response)
    seen.append(next(chunks))
    server.storage.jobs.append_events(id, [Entry(type="message", message="hello", created_at=1.0)])
    seen.append(next(chunks))
    http.post(f"/v1/jobs/{id}/cancel")
    seen += list(chunks)
    answer.close()
    assert b"hello" in seen[1]
    assert seen[-1] == b"data: [DONE]\n\n"


def test_a_silent_stream_says_that_it_lives(idle, http, monkeypatch):
    monkeypatch.setattr("lmaas_server.http.sse.KEEP_ALIVE_SECONDS", 0.0)
    monkeypatch.setattr("lmaas_server.http.sse._SLICE_SECONDS", 0.01)
    id = train(idle).json["id"]
    with http.get(f"/v1/jobs/{id}/events", headers=STREAM) as answer:
        chunks = iter(answer.response)
        next(chunks)
        assert next(chunks) == b": keep-alive\n\n"


def test_a_stopping_server_ends_its_streams_without_saying_that_all_was_said(idle, http, server, monkeypatch):
    monkeypatch.setattr("lmaas_server.http.sse._SLICE_SECONDS", 0.01)
    id = train(idle).json["id"]
    with http.get(f"/v1/jobs/{id}/events", headers=STREAM) as answer:
        chunks = iter(answer.response)
        next(chunks)
        server.drain()
        assert b"[DONE]" not in b"".join(chunks)


class TestFewThreads:
    """With four threads, two of which may stream."""

    @pytest.fixture
    def settings(self, tmp_path):
        return {"data_dir": tmp_path / "data", "threads": 4, "prewarm": False, "drain_seconds": 1.0}

    def test_streams_never_take_all_threads(self, idle, http):
        id = train(idle).json["id"]
        path = f"/v1/jobs/{id}/events"
        with http.get(path, headers=STREAM), http.get(path, headers=STREAM):
            third = http.get(path, headers=STREAM)
            assert (third.status_code, third.json["error"]["code"]) == (503, "streams_exhausted")
            assert "retry-after" in third.headers
        with http.get(path, headers=STREAM) as again:
            assert again.status_code == 200


class TestReal:
    """The whole way once, with the process that trains."""

    def test_a_training_ends_in_a_model_and_its_stream_in_done(self, ask, http):
        ask.dataset = ask.upload(ask.npz(**_data())).json["id"]
        id = train(ask, epochs=2, architecture={"type": "mlp", "hidden": [4]}).json["id"]
        reader = lines(http.get(f"/v1/jobs/{id}/events", headers=STREAM))
        job = http.get(f"/v1/jobs/{id}").json
        assert (job["status"], job["model"], reader[-1]) == ("succeeded", "m@1", "data: [DONE]")
        assert http.get("/v1/models/m").json["lineage"]["job"] == id
