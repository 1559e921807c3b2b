"""Explanations over HTTP: shaped like the rows, and every wrong request told what would be right."""

from __future__ import annotations

import pytest

PATH = "/v1/deployments/d/explanations"


def error_of(answer) -> tuple[int, str, str | None]:
    return answer.status_code, answer.json["error"]["code"], answer.json["error"]["param"]


def test_attributions_come_for_each_row_and_add_up(deployed, http):
    answer = http.post(PATH, json={"inputs": deployed.rows(2)}).json
    assert (answer["object"], answer["model"], answer["method"]) == ("explanation", "blobs@1", "integrated_gradients")
    for row in answer["outputs"]:
        there = row["output"] - row["baseline_output"]
        assert len(row["attributions"]) == 4
        assert sum(row["attributions"]) == pytest.approx(there + row["delta"], abs=1e-4)
        assert row["target"] == row["label"]


def test_a_row_is_explained_as_it_is_predicted(deployed, http):
    predicted = deployed.predict(3).json["outputs"]
    explained = http.post(PATH, json={"inputs": deployed.rows(3)}).json["outputs"]
    assert [row["label"] for row in explained] == [row["label"] for row in predicted]


@pytest.mark.parametrize("method", ["saliency", "occlusion"])
def test_another_method_may_be_asked_for(deployed, http, method):
    answer = http.post(PATH, json={"inputs": deployed.rows(), "method": method, "target": 2}).json
    assert answer["method"] == method
    assert answer["outputs"][0]["target"] == 2
    assert answer["outputs"][0]["delta"] is None


def test_a_bad_row_has_its_error_and_its_neighbour_is_explained(deployed, http):
    outputs = http.post(PATH, json={"inputs": [*deployed.rows(), [1.0]]}).json["outputs"]
    assert len(outputs[0]["attributions"]) == 4
    assert outputs[1]["error"]["code"] == "shape_mismatch"


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"target": 7}, "target_unknown", "target"),
        ({"target": "0"}, "target_unknown", "target"),
        ({"method": "gradients"}, "invalid_value", "method"),
        ({"inputs": [[1.0]]}, "shape_mismatch", "inputs[0]"),
        ({"inputs": []}, "invalid_value", "inputs"),
        ({"inputs": [[0.0] * 4] * 65}, "invalid_value", "inputs"),
        ({"metod": "saliency"}, "unknown_field", "metod"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(deployed, http, change, code, param):
    answer = http.post(PATH, json={"inputs": deployed.rows(), **change})
    assert error_of(answer) == (422, code, param)


def test_an_unknown_method_is_told_the_known_ones(deployed, http):
    message = http.post(PATH, json={"inputs": deployed.rows(), "method": "salience"}).json["error"]["message"]
    assert "did you mean 'saliency'" in message


def test_more_rows_than_are_explained_at_once_are_told_how_many_are(deployed, http):
    message = http.post(PATH, json={"inputs": deployed.rows() * 65}).json["error"]["message"]
    assert "inputs" in message
    assert "at most 64" in message


def test_an_unknown_deployment_is_not_found(ask, http):
    assert error_of(http.post(PATH, json={"inputs": ask.rows()}))[:2] == (404, "deployment_not_found")


def test_a_repeated_request_is_answered_with_the_same_explanation(deployed, http):
    headers = {"Idempotency-Key": "k1"}
    first, second = (http.post(PATH, json={"inputs": deployed.rows()}, headers=headers) for _ in range(2))
    assert second.json == first.json
    assert second.headers["Idempotent-Replayed"] == "true"


def test_values_are_explained_by_their_index(ask, http, server, regressor):
    regressor.register(server, name="r")
    ask.deploy("r")
    answer = http.post(PATH, json={"inputs": ask.rows(), "target": 1}).json["outputs"][0]
    assert answer["output"] == pytest.approx(answer["value"][1], rel=1e-5)
