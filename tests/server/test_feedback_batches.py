"""Feedback in batches: thousands in one call, and what becomes of the ones that are wrong."""

from __future__ import annotations

import pytest

from lmaas_server.app import server_of


@pytest.fixture
def about(shared):
    """A prediction of ten rows of the shared application: what is said about it disturbs nobody."""
    shared.id = shared.predict(10).json["id"]
    return shared


@pytest.fixture
def own(deployed):
    """A prediction of ten rows of an application of its own."""
    deployed.id = deployed.predict(10).json["id"]
    return deployed


def items(ask, *changes):
    """One label per change, which may be of anything."""
    start = {"prediction_id": ask.id, "kind": "label", "value": 1}
    return [{**start, "index": place, **change} for place, change in enumerate(changes)]


def post(ask, *changes, **more):
    return ask.http.post("/v1/feedback", json={"items": items(ask, *changes), **more})


def outcome(item):
    """The value of a stored item, the code and param of one that is not."""
    return item["value"] if "value" in item else (item["error"]["code"], item["error"]["param"])


def test_of_a_partial_batch_the_good_are_stored_and_the_bad_are_errors_in_their_place(own):
    answer = post(own, {"value": 0}, {"value": "two"}, {"value": 2}, partial=True)
    assert answer.status_code == 200
    assert [outcome(item) for item in answer.json["data"]] == [0, ("feedback_invalid", "items[1].value"), 2]
    assert {item["value"] for item in own.http.get("/v1/feedback").json["data"]} == {0, 2}


WRONG = [
    ({"value": "two"}, "feedback_invalid", "value"),
    ({"index": 10}, "feedback_invalid", "index"),
    ({"prediction_id": "pred-none"}, "prediction_not_found", "prediction_id"),
    ({"kind": "lable"}, "invalid_value", "kind"),
    ({"wieght": 2}, "unknown_field", "wieght"),
    ({"weight": 0}, "invalid_value", "weight"),
    ({"id": "mine"}, "invalid_value", "id"),
]


@pytest.mark.parametrize(("change", "code", "field"), WRONG, ids=str)
def test_every_kind_of_wrong_item_is_named_where_it_is(about, change, code, field):
    bad = post(about, {}, change, {}, partial=True).json["data"][1]
    assert outcome(bad) == (code, f"items[1].{field}")
    assert set(bad["error"]) == {"message", "type", "param", "code"}
    whole = post(about, {}, change, {})
    assert whole.json["error"] == bad["error"]  # all or nothing says the same of the first bad item


@pytest.mark.parametrize("more", [{}, {"partial": False}])
def test_without_partial_nothing_is_stored_where_anything_is_wrong(own, more):
    assert post(own, {}, {"value": "two"}, **more).status_code == 422
    assert post(own, {}, {"kind": "lable"}, **more).status_code == 422
    assert own.http.get("/v1/feedback").json["data"] == []


def test_a_partial_batch_of_nothing_good_is_all_errors_and_no_failure(about):
    answer = post(about, {"value": "a"}, {"kind": "b"}, partial=True)
    assert answer.status_code == 200
    assert ["error" in item for item in answer.json["data"]] == [True, True]
    assert (answer.json["first_id"], answer.json["last_id"]) == (None, None)


@pytest.mark.parametrize("more", [{"partial": "yes"}, {"partail": True}, {"items": "none"}, {"items": []}])
def test_a_batch_that_is_itself_wrong_is_refused_whole(about, more):
    assert about.http.post("/v1/feedback", json={"items": items(about, {}), **more}).status_code == 422


def test_the_same_id_twice_in_one_batch_is_one_item_if_it_says_the_same(own):
    answer = post(own, {"id": "fb-a", "index": 0}, {"id": "fb-a", "index": 0})
    assert [item["id"] for item in answer.json["data"]] == ["fb-a", "fb-a"]
    assert len(own.http.get("/v1/feedback").json["data"]) == 1


def test_the_same_id_with_other_content_in_one_batch_is_a_conflict(own):
    answer = post(own, {"id": "fb-a"}, {"id": "fb-a"})  # about different rows
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "feedback_conflict")
    assert answer.json["error"]["param"] == "items[1].id"
    assert own.http.get("/v1/feedback").json["data"] == []


def test_in_a_partial_batch_the_first_of_two_that_disagree_stands(own):
    answer = post(own, {"value": "x"}, {"id": "fb-a", "value": 0}, {"id": "fb-a", "value": 2}, partial=True)
    assert [outcome(item) for item in answer.json["data"][1:]] == [0, ("feedback_conflict", "items[2].id")]
    assert own.http.get("/v1/feedback/fb-a").json["value"] == 0


def test_a_retracted_id_in_a_partial_batch_is_an_error_in_its_place(own):
    post(own, {"id": "fb-a"})
    own.http.delete("/v1/feedback/fb-a")
    answer = post(own, {"id": "fb-a"}, {"id": "fb-b"}, partial=True).json["data"]
    assert [item.get("id") or item["error"]["code"] for item in answer] == ["feedback_retracted", "fb-b"]


def test_a_partial_batch_about_what_is_gone_says_so_of_each_item(own):
    own.http.delete("/v1/deployments/d")
    answer = post(own, {}, {}, partial=True).json["data"]
    assert [outcome(item) for item in answer] == [("deployment_gone", f"items[{n}].prediction_id") for n in range(2)]


def test_a_model_that_serves_two_deployments_takes_feedback_for_the_one_that_is_there(own):
    own.deploy("blobs", name="e")
    other = own.predict(1, name="e").json["id"]
    own.http.delete("/v1/deployments/d")
    answer = post(own, {"prediction_id": other, "index": 0}, {}, partial=True).json["data"]
    assert outcome(answer[0]) == 1
    assert outcome(answer[1]) == ("deployment_gone", "items[1].prediction_id")


def test_ten_thousand_items_about_a_thousand_predictions_take_few_statements(own):
    from sqlalchemy import event

    ids = [own.predict(1).json["id"] for _ in range(40)]
    seen = []
    engine = server_of(own.http.application).storage.database._durable
    event.listen(engine, "before_cursor_execute", lambda *said: seen.append(said[2]))
    batch = items(own, *({"prediction_id": ids[n % 40], "index": 0} for n in range(10_000)))
    answer = own.http.post("/v1/feedback", json={"items": batch})
    assert (answer.status_code, len(answer.json["data"])) == (200, 10_000)
    assert len(seen) < 50  # reads of 500 ids each, one insert, a counter
    assert not any("predictions.inputs," in said for said in seen)


def test_the_same_batch_again_stores_nothing_new(own):
    first, again = (post(own, {"id": "fb-a"}, {"id": "fb-b"}).json for _ in range(2))
    assert first == again
    assert len(own.http.get("/v1/feedback").json["data"]) == 2


def test_lists_are_sifted_by_kind_and_by_source(own):
    post(own, {"id": "fb-a", "source": "ann"}, {"id": "fb-b", "kind": "rating"}, {"id": "fb-c", "source": "bob"})
    queries = ("kind=label", "kind=rating", "source=ann", "deployment=d&kind=label&source=bob", "source=carl")
    found = [{item["id"] for item in own.http.get(f"/v1/feedback?{query}").json["data"]} for query in queries]
    assert found == [{"fb-a", "fb-c"}, {"fb-b"}, {"fb-a"}, {"fb-c"}, set()]
    assert own.http.get("/v1/feedback?kind=lable").json["error"]["param"] == "kind"


def test_applied_takes_what_stands_for_a_version_and_refuses_what_does_not(own):
    post(own, {"id": "fb-a"}, {"id": "fb-b"})
    server_of(own.http.application).storage.feedback.mark_applied(["fb-a"], "blobs@1")
    own.http.put("/v1/models/blobs/aliases/best", json={"version": 1})
    for reference in ("blobs@1", "blobs@best", "blobs"):
        found = own.http.get(f"/v1/feedback?applied={reference}").json["data"]
        assert [item["id"] for item in found] == ["fb-a"]
    refused = own.http.get("/v1/feedback?applied=yes")
    assert (refused.status_code, refused.json["error"]["param"]) == (404, "applied")


def test_what_a_deleted_version_learned_is_still_listed(own):
    post(own, {"id": "fb-a"})
    server_of(own.http.application).storage.feedback.mark_applied(["fb-a"], "blobs@7")
    assert [item["id"] for item in own.http.get("/v1/feedback?applied=blobs@7").json["data"]] == ["fb-a"]


def test_a_rating_of_a_row_that_had_an_error_is_refused(about):
    body = {"inputs": [about.rows(1)[0], [1]]}
    id = about.http.post("/v1/deployments/d/predictions", json=body).json["id"]
    answer = post(about, {"prediction_id": id, "index": 1, "kind": "rating"})
    assert (answer.status_code, answer.json["error"]["param"]) == (422, "items[0].index")


def test_a_rating_of_a_value_is_refused_and_told_to_be_a_label(own, regressor):
    regressor.register(server_of(own.http.application), name="numbers")
    own.deploy("numbers", name="numbers")
    id = own.predict(1, name="numbers").json["id"]
    answer = own.http.post("/v1/feedback", json={"prediction_id": id, "kind": "rating", "value": 1})
    assert (answer.status_code, answer.json["error"]["param"]) == (422, "value")
    assert "`label`" in answer.json["error"]["message"]


def test_what_was_not_stored_is_not_counted_in_what_a_version_does(own, monkeypatch):
    seen = []
    told = "lmaas_server.services.observing.Observer.labelled"
    monkeypatch.setattr(told, lambda _self, deployment, _model, **said: seen.append((deployment, said["value"])))
    assert post(own, {"value": 0}, {"id": "fb-a"}, {"id": "fb-a", "value": 2}).status_code == 409
    assert seen == []
    post(own, {"id": "fb-b", "value": 0}, {"value": "two"}, partial=True)
    post(own, {"id": "fb-b", "value": 0})  # stored already
    assert seen == [("d", 0)]
