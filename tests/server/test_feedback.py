"""Feedback over HTTP: checked against the model, kept for good."""

from __future__ import annotations

import pytest

from lmaas_server.app import create_app, server_of
from lmaas_server.settings import Settings


@pytest.fixture
def said(deployed):
    """A prediction of two rows, and requests to say something about it."""
    deployed.id = deployed.predict(2).json["id"]
    return deployed


@pytest.fixture
def about(shared):
    """A prediction of two rows of the shared application: what is said about it disturbs nobody."""
    shared.id = shared.predict(2).json["id"]
    return shared


@pytest.fixture
def served(shared):
    """Serve a model under its own name in the shared application, once."""

    def served(trained, name: str):
        if shared.http.get(f"/v1/deployments/{name}").status_code != 200:
            trained.register(server_of(shared.http.application), name=name)
            shared.deploy(name, name=name)
        return shared

    return served


def post(ask, **item):
    return ask.http.post("/v1/feedback", json={"prediction_id": ask.id, **item})


def test_feedback_needs_only_the_id_of_the_prediction(said, http):
    made = said.label(said.id, 1, index=1, source="expert", weight=2.0, metadata={"a": "b"}).json
    assert (made["deployment"], made["model"], made["applied_in"]) == ("d", "blobs@1", None)
    assert (made["index"], made["value"], made["weight"], made["source"]) == (1, 1, 2.0, "expert")
    assert http.get(f"/v1/feedback/{made['id']}").json == made


def test_many_items_are_answered_by_a_list(said):
    items = [{"prediction_id": said.id, "kind": "label", "value": n, "index": n} for n in range(2)]
    answer = said.http.post("/v1/feedback", json={"items": items}).json
    assert (answer["object"], [item["value"] for item in answer["data"]]) == ("list", [0, 1])


def test_of_many_items_all_are_kept_or_none(said, http):
    items = [{"prediction_id": said.id, "kind": "label", "value": value} for value in (0, 1, 2, "three")]
    answer = said.http.post("/v1/feedback", json={"items": items})
    assert (answer.status_code, answer.json["error"]["param"]) == (422, "items[3].value")
    assert http.get("/v1/feedback").json["data"] == []


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("label", 2, 2),
        ("label", 7, 7),  # a new class of the same type
        ("rating", 1, 1),
        ("rating", -1, -1),
        ("rating", True, 1),
        ("rating", False, -1),
        ("metric", {"name": "clicks", "value": 3}, {"name": "clicks", "value": 3}),
        ("comment", "odd", "odd"),
    ],
)
def test_a_value_that_fits_is_kept(about, kind, value, stored):
    assert post(about, kind=kind, value=value).json["value"] == stored


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("label", "two"),
        ("label", 2.0),
        ("label", True),
        ("label", None),
        ("label", [2]),
        ("label", 2**63),
        ("rating", 0),
        ("rating", 2),
        ("rating", "good"),
        ("metric", 3),
        ("metric", {"name": "clicks"}),
        ("metric", {"name": "clicks", "value": True}),
        ("comment", ""),
        ("comment", 5),
        ("preference", {"over": "pred-x"}),
        ("demonstration", "the right text"),
    ],
)
def test_a_value_of_a_wrong_kind_is_refused_and_told_what_is_right(about, kind, value):
    answer = post(about, kind=kind, value=value)
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "feedback_invalid")
    assert answer.json["error"]["param"].startswith("value")


def test_a_wrong_label_is_told_the_classes(about):
    assert "0, 1, 2" in post(about, kind="label", value="two").json["error"]["message"]


@pytest.mark.parametrize(("value", "status"), [("b", 200), ("new", 200), (1, 422), ("", 422), ("x" * 257, 422)])
def test_classes_that_are_words_take_words(served, word_classifier, value, status):
    ask = served(word_classifier, "words")
    assert ask.label(ask.predict(name="words").json["id"], value).status_code == status


@pytest.mark.parametrize(
    ("value", "status"),
    [([1, 2.5], 200), ([1], 422), ([1, 2, 3], 422), (1.0, 422), ([1, "2"], 422), ([1, True], 422), ([1, 1e39], 422)],
)
def test_a_model_of_two_values_takes_two_numbers(served, regressor, value, status):
    ask = served(regressor, "numbers")
    assert ask.label(ask.predict(name="numbers").json["id"], value).status_code == status


@pytest.mark.parametrize(
    ("item", "param"),
    [
        ({"kind": "lable", "value": 1}, "kind"),
        ({"kind": "label"}, "value"),
        ({"kind": "label", "value": 1, "wieght": 2}, "wieght"),
        ({"kind": "label", "value": 1, "weight": 0}, "weight"),
        ({"kind": "label", "value": 1, "id": "mine"}, "id"),
        ({"kind": "label", "value": 1, "index": -1}, "index"),
        ({"kind": "label", "value": 1, "index": 2}, "index"),
    ],
)
def test_a_wrong_field_is_named(about, item, param):
    answer = post(about, **item)
    assert (answer.status_code, answer.json["error"]["param"]) == (422, param)


def test_an_unknown_prediction_is_not_found(shared):
    answer = shared.label("pred-none", 1)
    assert (answer.status_code, answer.json["error"]["param"]) == (404, "prediction_id")


def test_one_that_was_not_stored_takes_no_feedback_and_says_why(shared):
    answer = shared.label(shared.predict(store=False).json["id"], 1)
    assert answer.status_code == 404
    assert "store: false" in answer.json["error"]["message"]


def test_a_row_that_had_an_error_takes_no_label(shared):
    body = {"inputs": [shared.rows(1)[0], [1]]}
    id = shared.http.post("/v1/deployments/d/predictions", json=body).json["id"]
    answer = shared.label(id, 1, index=1)
    assert (answer.status_code, answer.json["error"]["param"]) == (422, "index")


def test_the_same_id_with_the_same_content_is_kept_once(said, http):
    first, second = (said.label(said.id, 1, id="fb-mine").json for _ in range(2))
    assert first == second
    assert len(http.get("/v1/feedback").json["data"]) == 1


def test_the_same_id_with_other_content_is_a_conflict_and_the_first_stands(said, http):
    said.label(said.id, 1, id="fb-mine")
    answer = said.label(said.id, 2, id="fb-mine")
    assert (answer.status_code, answer.json["error"]["param"]) == (409, "id")
    assert http.get("/v1/feedback/fb-mine").json["value"] == 1


def test_a_retracted_item_is_gone_and_its_id_is_not_given_again(said, http):
    said.label(said.id, 1, id="fb-mine")
    assert http.delete("/v1/feedback/fb-mine").json == {"id": "fb-mine", "object": "feedback", "deleted": True}
    assert http.get("/v1/feedback/fb-mine").status_code == 404
    assert http.delete("/v1/feedback/fb-mine").status_code == 404
    assert said.label(said.id, 1, id="fb-mine").status_code == 409


def test_a_deleted_prediction_takes_what_was_said_of_it_along_and_takes_no_more(said, http, server):
    other = said.predict(1).json["id"]
    kept = said.label(other, 1).json["id"]
    gone = [said.label(said.id, 1, index=index).json["id"] for index in (0, 1)]
    assert http.delete(f"/v1/predictions/{said.id}").json == {"id": said.id, "object": "prediction", "deleted": True}
    assert [item["id"] for item in http.get("/v1/feedback").json["data"]] == [kept]
    for path in (f"/v1/predictions/{said.id}", *(f"/v1/feedback/{id}" for id in gone)):
        assert http.get(path).status_code == 404
    late = said.label(said.id, 1)
    assert (late.status_code, late.json["error"]["code"]) == (404, "prediction_not_found")
    assert (server.storage.predictions.count("d"), server.storage.feedback.count("d")) == (1, 1)
    assert http.delete(f"/v1/predictions/{said.id}").status_code == 404


def test_lists_filter_by_deployment_prediction_and_whether_it_was_learned_from(said, http, server):
    first = said.label(said.id, 1).json["id"]
    second = said.label(said.predict().json["id"], 2).json["id"]
    server.storage.feedback.mark_applied([first], "blobs@2")
    expected = {
        "deployment=d": {first, second},
        "deployment=e": set(),
        f"prediction={said.id}": {first},
        "applied=true": {first},
        "applied=false": {second},
        "applied=blobs@2": {first},
    }
    seen = {query: {item["id"] for item in http.get(f"/v1/feedback?{query}").json["data"]} for query in expected}
    assert seen == expected


def test_late_feedback_is_about_the_version_that_answered(said, http, server, other_classifier):
    other_classifier.register(server)
    http.patch("/v1/deployments/d", json={"model": "blobs@2"})
    assert said.label(said.id, 1).json["model"] == "blobs@1"


def test_feedback_on_a_deployment_that_is_gone_is_refused(said, http):
    http.delete("/v1/deployments/d")
    answer = said.label(said.id, 1)
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "deployment_gone")


def test_feedback_on_a_model_that_is_gone_is_refused(said, http, server, other_classifier):
    other_classifier.register(server)
    http.patch("/v1/deployments/d", json={"model": "blobs@2"})
    http.delete("/v1/models/blobs@1")
    answer = said.label(said.id, 1)
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "model_gone")


def test_ten_thousand_items_are_one_call(said, http):
    items = [{"prediction_id": said.id, "kind": "label", "value": n % 3} for n in range(10_000)]
    answer = said.http.post("/v1/feedback", json={"items": items})
    assert (answer.status_code, len(answer.json["data"])) == (200, 10_000)
    one_more = said.http.post("/v1/feedback", json={"items": [*items, items[0]]})
    assert (one_more.status_code, one_more.json["error"]["param"]) == (422, "items")


def test_it_survives_a_restart(said, settings):
    id = said.label(said.id, 2).json["id"]
    server_of(said.http.application).close()
    again = create_app(Settings(**settings))
    assert again.test_client().get(f"/v1/feedback/{id}").json["value"] == 2
    server_of(again).close()
