"""Predictions go past Flask, by the gateway's same way; whatever is not exactly theirs goes to Flask."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from lmaas_server.app import create_app, server_of
from lmaas_server.settings import Settings

PREDICTIONS = "/v1/deployments/d/predictions"
KEY = {"Authorization": "Bearer key"}


@pytest.fixture
def settings(settings):
    """One request may wait for a model."""
    return {**settings, "max_waiting": 1}


@pytest.fixture
def beyond(monkeypatch, app):
    """The paths that Flask itself was asked for."""
    asked, lane = [], app.wsgi_app
    inner = lane._beyond

    def note(environ, start_response):
        asked.append(environ["PATH_INFO"])
        return inner(environ, start_response)

    monkeypatch.setattr(lane, "_beyond", note)
    return asked


def test_a_server_that_stops_takes_no_more_predictions(deployed, server):
    server.drain()
    answer = deployed.predict()
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "draining")


def test_a_prediction_goes_past_flask_and_a_listing_does_not(deployed, beyond):
    beyond.clear()
    assert deployed.predict().status_code == 200
    assert deployed.http.get("/v1/predictions").status_code == 200
    assert beyond == ["/v1/predictions"]


def test_a_name_that_is_no_plain_word_is_read_by_flask_as_ever(deployed, beyond):
    beyond.clear()
    answer = deployed.http.post("/v1/deployments/caf%C3%A9/predictions", json={"inputs": [[1]]})
    assert answer.json["error"]["code"] == "deployment_not_found"
    assert len(beyond) == 1


@pytest.mark.parametrize("body", [{"inputs": []}, {"inputs": [[1]], "paramters": {}}, {"inputs": 3}, [1], "x"])
def test_a_wrong_body_is_told_the_same_on_both_ways(deployed, body):
    past = deployed.http.post(PREDICTIONS, json=body)
    through = deployed.http.post(PREDICTIONS + "/", json=body)  # the slash sends it to Flask
    assert (past.status_code, past.json) == (through.status_code, through.json)
    assert {name.lower() for name, _ in past.headers} == {name.lower() for name, _ in through.headers}


def test_an_answer_has_its_request_id_and_is_counted(deployed):
    answer = deployed.http.post(PREDICTIONS, json={"inputs": deployed.rows()}, headers={"X-Request-Id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
    assert b'lmaas_requests_total{operation="prediction_create",status="200"}' in deployed.http.get("/metrics").data


@pytest.fixture
def guarded(settings):
    """An application with a key and a limit of one request a minute."""
    made = create_app(Settings(**settings, api_keys=("key",), rate_limit_per_minute=1))
    server_of(made).start()
    yield made.test_client()
    server_of(made).close()


def test_keys_and_limits_hold_past_flask(guarded):
    assert guarded.post(PREDICTIONS, json={"inputs": [[1]]}).status_code == 401
    first = guarded.post(PREDICTIONS, json={"inputs": [[1]]}, headers=KEY)
    assert (first.status_code, first.headers["x-ratelimit-remaining-requests"]) == (404, "0")
    assert guarded.post(PREDICTIONS, json={"inputs": [[1]]}, headers=KEY).status_code == 429


def test_an_overloaded_model_answers_503_and_when_to_come_again(deployed, app, server):
    predictor, go_on = server.predictors.get("blobs@1"), threading.Event()
    compute, body = predictor.compute, {"inputs": deployed.rows()}
    predictor.compute = lambda rows: compute(rows) if go_on.wait(30) else rows
    with ThreadPoolExecutor(3) as pool:
        # One is computed, one stands in line, and there is no third place.
        asked = [pool.submit(lambda: app.test_client().post(PREDICTIONS, json=body)) for _ in range(3)]
        deployed.wait_for(lambda: any(future.done() for future in asked))
        go_on.set()
    refused, *answered = sorted((future.result() for future in asked), key=lambda answer: -answer.status_code)
    assert [answer.status_code for answer in answered] == [200, 200]
    assert (refused.status_code, refused.json["error"]["code"]) == (503, "overloaded")
    assert int(refused.headers["retry-after-ms"]) > 0


def test_requests_at_once_are_answered_as_one_after_the_other(deployed, app):
    bodies = [{"inputs": deployed.rows(count)} for count in range(1, 9)]

    def labels(body):
        return [output["label"] for output in app.test_client().post(PREDICTIONS, json=body).json["outputs"]]

    alone = [labels(body) for body in bodies]
    with ThreadPoolExecutor(2) as pool:  # no more than one stands in line
        assert list(pool.map(labels, bodies)) == alone
