"""The figures of deployments over HTTP: what is counted, for whom, and what a wrong question is told."""

from __future__ import annotations

import json

import pytest

from lmaas_server.errors import UnavailableError


@pytest.fixture
def stats(http):
    """The figures of the last hour."""
    return lambda **query: http.get("/v1/deployments/d/stats", query_string=query).json


def test_requests_rows_latency_and_confidence_are_told(deployed, stats):
    for rows in (1, 2, 3):
        deployed.predict(rows)
    told = stats()
    assert (told["requests"], told["rows"], told["errors"], told["error_rate"]) == (3, 6, 0, 0.0)
    assert 0 < told["p50_ms"] <= told["p95_ms"] <= told["p99_ms"]
    assert 1 / 3 < told["confidence"] <= 1


def test_a_bad_row_is_counted_and_a_request_that_was_wrong_is_not_the_models_error(deployed, http, stats):
    rows = deployed.rows(1)
    http.post("/v1/deployments/d/predictions", json={"inputs": [*rows, [1.0]]})
    assert http.post("/v1/deployments/d/predictions", json={"inputs": [[1.0]]}).status_code == 422
    told = stats()
    assert (told["requests"], told["rows"], told["row_errors"], told["errors"]) == (1, 2, 1, 0)


def test_a_version_that_breaks_is_counted_as_an_error(deployed, server, stats, monkeypatch):
    def broken(*_args, **_more):
        raise RuntimeError("broken")

    monkeypatch.setattr(server.predictors.get("blobs@1"), "compute", broken)
    assert deployed.predict().status_code == 500
    told = stats()
    assert (told["requests"], told["errors"], told["error_rate"]) == (0, 1, 1.0)
    assert told["variants"][0]["errors"] == 1


def test_accuracy_compares_labels_with_what_was_shown(deployed, stats):
    shown = deployed.predict(1).json
    deployed.label(shown["id"], shown["outputs"][0]["label"])
    deployed.label(shown["id"], 2 - shown["outputs"][0]["label"] or 1)
    told = stats()
    assert (told["labelled"], told["right"], told["accuracy"]) == (2, 1, 0.5)
    assert told["feedback"] == {"label": 2}


def test_a_label_for_an_answer_as_an_array_is_compared_too(deployed, http, stats):
    headers = {"Accept": "application/x-npy"}
    id = deployed.predict(1, headers=headers).headers["x-lmaas-prediction"]
    kept = http.get(f"/v1/predictions/{id}").json["outputs"][0]
    deployed.label(id, kept["index"])
    assert stats()["accuracy"] == 1.0


def test_an_item_that_is_sent_twice_is_counted_once(deployed, stats):
    id = deployed.predict().json["id"]
    for _ in range(2):
        deployed.label(id, 0, id="fb-mine")
    assert stats()["labelled"] == 1


def test_ratings_are_counted_up_and_down_and_say_nothing_of_accuracy(deployed, http, stats):
    id = deployed.predict().json["id"]
    for value in (1, 1, -1):
        http.post("/v1/feedback", json={"prediction_id": id, "kind": "rating", "value": value})
    told = stats()
    assert (told["ratings"], told["feedback"], told["accuracy"]) == ({"up": 2, "down": 1}, {"rating": 3}, None)


def test_late_feedback_counts_for_the_version_that_predicted(deployed, server, other_classifier, http, stats):
    shown = deployed.predict().json
    other_classifier.register(server)
    http.patch("/v1/deployments/d", json={"model": "blobs@2"})
    deployed.predict()
    deployed.label(shown["id"], shown["outputs"][0]["label"])
    by_model = {variant["model"]: variant for variant in stats()["variants"]}
    assert (by_model["blobs@2"]["role"], by_model["blobs@2"]["labelled"]) == ("champion", 0)
    assert (by_model["blobs@1"]["role"], by_model["blobs@1"]["right"]) == (None, 1)


def test_a_shadow_is_in_its_variant_alone(deployed, server, stats):
    deployed.predict()
    server.observer.predicted("d", "other@1", role="shadow", rows=4, row_errors=0, seconds=1.0, confidences=[0.5])
    server.observer.agreed("d", "other@1", compared=4, agreed=3)
    told = stats()
    assert (told["requests"], told["rows"], told["agreement"]) == (1, 1, 0.75)
    assert told["variants"][1]["rows"] == 4


def test_figures_outlive_the_server(deployed, server, settings, stats):
    from lmaas_server.app import create_app, server_of
    from lmaas_server.settings import Settings

    deployed.predict()
    before = stats()
    server.close()
    again = create_app(Settings(**settings))
    after = again.test_client().get("/v1/deployments/d/stats").json
    server_of(again).close()
    assert {**before, "created_at": 0, "since": 0} == {**after, "created_at": 0, "since": 0}


def test_a_deployment_made_anew_begins_at_zero(deployed, http, stats):
    deployed.predict()
    http.delete("/v1/deployments/d")
    deployed.deploy("blobs")
    assert stats()["requests"] == 0


@pytest.mark.parametrize(
    ("window", "seconds"), [("5m", 300), ("1h", 3600), ("24h", 86_400), ("90d", 7_776_000), ("30", 30), ("1.5h", 5400)]
)
def test_a_window_is_seconds_or_a_number_with_a_unit(shared, window, seconds):
    told = shared.http.get(f"/v1/deployments/d/stats?window={window}").json
    assert told["window_seconds"] == seconds
    assert told["since"] % 60 == 0
    assert 0 <= told["created_at"] - told["since"] - seconds < 61


@pytest.mark.parametrize("window", ["", "h", "5 m", "-1", "0", "91d", "nan", "1e3", "5mm", "\u0665m", "9" * 40])
def test_any_other_window_is_told_what_is_right(shared, window):
    answer = shared.http.get("/v1/deployments/d/stats", query_string={"window": window})
    assert answer.status_code == 422
    assert answer.json["error"]["param"] == "window"
    assert "5m" in answer.json["error"]["message"]


@pytest.mark.parametrize("what", ["stats", "events"])
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_what_is_not_deployed_has_neither_stats_nor_events(shared, what, accept):
    answer = shared.http.get(f"/v1/deployments/nobody/{what}", headers={"Accept": accept})
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "deployment_not_found")


def test_a_stream_of_stats_gives_them_at_once_when_they_change_and_ends_with_the_deployment(deployed, http):
    answer = http.get("/v1/deployments/d/stats", headers={"Accept": "text/event-stream"})
    chunks = iter(answer.response)
    assert _data(next(chunks))["requests"] == 0
    deployed.predict()
    assert _data(next(chunks))["requests"] == 1
    http.delete("/v1/deployments/d")
    assert next(chunks) == b"data: [DONE]\n\n"
    answer.close()


def test_prometheus_is_told_of_every_deployment(deployed, http):
    deployed.predict(3)
    text = http.get("/metrics").text
    assert 'lmaas_prediction_seconds_count{deployment="d"} 1.0' in text
    assert 'lmaas_predicted_rows_total{deployment="d",outcome="answered"} 3.0' in text


def _data(chunk: bytes):
    return json.loads(chunk.split(b"data: ", 1)[1])


def test_a_version_is_not_blamed_for_requests_that_are_too_many(deployed, server, stats, monkeypatch):
    def full(*_args, **_more):
        raise UnavailableError("Too many wait.", code="overloaded")

    monkeypatch.setattr(server.predictors.get("blobs@1"), "compute", full)
    assert deployed.predict().status_code == 503
    assert stats()["errors"] == 0


class BrokenText:
    """A text that breaks off."""

    def read(self, timeout=None):
        raise RuntimeError("broken")

    def close(self):
        """Stop."""


def test_a_stream_that_breaks_is_counted_as_an_error(deployed, http, server, stats, monkeypatch):
    predictor = server.predictors.get("blobs@1")
    monkeypatch.setattr(predictor, "stream", lambda *_: [BrokenText()])
    monkeypatch.setattr(predictor, "output", lambda text: {"text": ""}, raising=False)
    body = {"inputs": deployed.rows(1)}
    with pytest.raises(RuntimeError, match="broken"):  # over a socket the connection ends here
        http.post("/v1/deployments/d/predictions", json=body, headers={"Accept": "text/event-stream"})
    assert (stats()["requests"], stats()["errors"]) == (0, 1)


def test_what_is_retracted_is_taken_out_of_the_figures(deployed, http, stats):
    shown = deployed.predict(1).json
    right = deployed.label(shown["id"], shown["outputs"][0]["label"]).json["id"]
    deployed.label(shown["id"], 2 - shown["outputs"][0]["label"] or 1)
    http.post("/v1/feedback", json={"prediction_id": shown["id"], "kind": "rating", "value": 1, "id": "fb-thumb"})
    for id in (right, "fb-thumb"):
        assert http.delete(f"/v1/feedback/{id}").status_code == 200
    told = stats()
    assert (told["labelled"], told["right"], told["accuracy"]) == (1, 0, 0.0)
    assert (told["feedback"], told["ratings"]) == ({"label": 1}, {"up": 0, "down": 0})
