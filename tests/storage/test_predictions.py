"""The log of predictions: written once, many at a time."""

from __future__ import annotations

from lmaas_server.records import PageRequest


def test_a_prediction_comes_back_with_its_inputs(storage, a_prediction):
    record = a_prediction(inputs=b"\x93NUMPY", inputs_type="application/x-npy", user="ann", outputs=[{"label": 3}])
    storage.predictions.add_many([record])
    assert storage.predictions.get("pred-1") == record
    assert storage.predictions.get("pred-2") is None


def test_a_prediction_logged_twice_is_there_once_and_the_first_stands(storage, a_prediction):
    storage.predictions.add_many([a_prediction(1, model="a@1"), a_prediction(1, model="b@1"), a_prediction(2)])
    storage.predictions.add_many([a_prediction(1, model="c@1"), a_prediction(3)])
    assert storage.predictions.get("pred-1").model == "a@1"
    assert storage.predictions.count("reader") == 3


def test_the_log_is_listed_by_deployment_newest_first(storage, a_prediction):
    storage.predictions.add_many([a_prediction(n, deployment="ab"[n % 2]) for n in range(5)])
    assert [p.id for p in storage.predictions.page(PageRequest(), deployment="a").items] == [
        "pred-4",
        "pred-2",
        "pred-0",
    ]


def test_many_are_found_by_id_at_once(storage, a_prediction):
    storage.predictions.add_many([a_prediction(n) for n in range(1200)])
    assert len(storage.predictions.get_many([f"pred-{n}" for n in range(1201)])) == 1200


def test_nothing_to_log_is_no_transaction(storage):
    storage.predictions.add_many([])
    assert storage.predictions.count("reader") == 0
