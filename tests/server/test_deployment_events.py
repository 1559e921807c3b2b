"""What happened to a deployment, over HTTP: listed by pages, followed, taken up again."""

from __future__ import annotations

import json
import random

import pytest


@pytest.fixture
def happened(deployed, server):
    """Make events of the deployment; the number in each is its place."""

    def make(count):
        first = server.storage.deployment_events.last_event("d") + 1
        for number in range(first, first + count):
            server.storage.deployment_events.add("d", "drift", f"Event {number}.", {"n": number}, 1.0)

    return make


def test_events_are_listed_by_pages_in_both_orders(happened, http):
    happened(5)
    first = http.get("/v1/deployments/d/events?limit=3").json
    assert ([event["seq"] for event in first["data"]], first["has_more"]) == ([1, 2, 3], True)
    second = http.get(f"/v1/deployments/d/events?limit=3&after={first['last_id']}").json
    assert ([event["seq"] for event in second["data"]], second["has_more"]) == ([4, 5], False)
    latest = http.get("/v1/deployments/d/events?order=desc&limit=2").json
    assert [event["data"]["n"] for event in latest["data"]] == [5, 4]
    assert latest["data"][0]["id"].startswith("evt-")


def test_the_list_ends_before_the_first_event(happened, http):
    happened(2)
    first = http.get("/v1/deployments/d/events?limit=1").json["data"][0]["id"]
    assert http.get(f"/v1/deployments/d/events?order=desc&after={first}").json["data"] == []


def test_an_event_of_another_deployment_is_no_place_to_go_on_from(happened, http):
    answer = http.get("/v1/deployments/d/events?after=evt-nothing")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "after_not_found")


def test_a_stream_gives_what_is_there_then_what_comes_and_ends_with_the_deployment(happened, http):
    happened(2)
    answer = http.get("/v1/deployments/d/events", headers={"Accept": "text/event-stream"})
    chunks = iter(answer.response)
    assert _numbers(next(chunks)) == [1, 2]
    happened(1)
    assert _numbers(next(chunks)) == [3]
    http.delete("/v1/deployments/d")
    assert next(chunks) == b"data: [DONE]\n\n"
    answer.close()


def test_a_stream_goes_on_after_the_event_that_arrived_last(happened, http):
    happened(4)
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "3"}
    answer = http.get("/v1/deployments/d/events", headers=headers)
    assert _numbers(next(iter(answer.response))) == [4]
    answer.close()


def test_a_last_event_that_is_no_number_is_refused(deployed, http):
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "evt-1"}
    answer = http.get("/v1/deployments/d/events", headers=headers)
    assert (answer.status_code, answer.json["error"]["param"]) == (422, "Last-Event-ID")


def test_wrong_labels_after_right_ones_are_a_drift_in_events_and_stats(deployed, server, http):
    shown, rng = deployed.predict(60).json, random.Random(0)
    items = []
    for right in [True] * 200 + [rng.random() < 0.5 for _ in range(39)]:
        row = rng.randrange(60)
        label = shown["outputs"][row]["label"]
        value = label if right else (label + 1) % 3
        items.append({"prediction_id": shown["id"], "index": row, "kind": "label", "value": value})
    http.post("/v1/feedback", json={"items": items})
    server.observer.flush()
    (event,) = http.get("/v1/deployments/d/events").json["data"]
    assert (event["type"], event["level"], event["data"]["signal"]) == ("drift", "warning", "error")
    assert event["data"]["before"] == 0
    assert 200 < event["data"]["at"] <= 239
    drift = http.get("/v1/deployments/d/stats").json["drift"]
    assert (drift["alarms"], drift["last_alarm"]["event"], drift["watching"]) == (1, event["id"], "error")


def test_a_drift_changes_no_model(deployed, server, http):
    before = deployed.predict(3).json["outputs"]
    for place in range(200):
        server.observer.labelled("d", "blobs@1", right=place < 100, kind="label", value=0)
    server.observer.flush()
    assert len(http.get("/v1/deployments/d/events").json["data"]) == 1
    assert deployed.predict(3).json["outputs"] == before
    assert http.get("/v1/deployments/d").json["revision"] == 1


def _numbers(chunk: bytes):
    return [json.loads(line[6:])["seq"] for line in chunk.split(b"\n") if line.startswith(b"data: ")]
