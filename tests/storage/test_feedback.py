"""Feedback: all or nothing, once per id, retracted for good."""

from __future__ import annotations

import pytest

from lmaas_server.errors import ConflictError
from lmaas_server.records import PageRequest


def test_an_item_sent_twice_is_stored_once_even_within_one_call(storage, an_item):
    stored = storage.feedback.add_many([an_item(1), an_item(1)])
    assert storage.feedback.add_many([an_item(1, created_at=9.0)]) == stored[:1]
    assert storage.feedback.count("reader") == 1


@pytest.mark.parametrize("change", [{"value": 4}, {"kind": "comment"}, {"index": 1}, {"weight": 2.0}])
def test_an_id_with_other_content_is_a_conflict_and_stores_nothing(storage, an_item, change):
    storage.feedback.add_many([an_item(1)])
    with pytest.raises(ConflictError, match=f"another {next(iter(change))}") as caught:
        storage.feedback.add_many([an_item(2), an_item(1, **change)])
    assert (caught.value.code, caught.value.param) == ("feedback_conflict", "items[1].id")
    assert storage.feedback.get("fb-2") is None
    assert storage.feedback.get("fb-1") == an_item(1)


def test_a_retracted_item_is_gone_from_every_list_and_cannot_come_back(storage, an_item):
    storage.feedback.add_many([an_item(1), an_item(2)])
    assert storage.feedback.delete("fb-1", now=2.0)
    assert not storage.feedback.delete("fb-1", now=2.0)
    assert storage.feedback.get("fb-1") is None
    assert [item.id for item in storage.feedback.page(PageRequest()).items] == ["fb-2"]
    assert [item.id for item in storage.feedback.pending("reader")] == ["fb-2"]
    assert (storage.feedback.count("reader"), storage.feedback.retracted(["fb-1", "fb-2"])) == (1, {"fb-1"})
    with pytest.raises(ConflictError, match="retracted"):
        storage.feedback.add_many([an_item(1)])


def test_what_was_learned_is_no_longer_pending_and_keeps_the_version_that_learned_it(storage, an_item):
    storage.feedback.add_many([an_item(n) for n in range(1, 4)])
    assert storage.feedback.mark_applied(["fb-1", "fb-2"], "digits@2") == 2
    assert storage.feedback.mark_applied(["fb-1"], "digits@3") == 0
    assert [item.id for item in storage.feedback.pending("reader")] == ["fb-3"]
    assert [i.id for i in storage.feedback.page(PageRequest(order="asc"), applied="digits@2").items] == ["fb-1", "fb-2"]


@pytest.mark.parametrize(("applied", "expected"), [(True, ["fb-1"]), (False, ["fb-3", "fb-2"]), (None, 3)])
def test_items_are_listed_by_whether_they_were_applied(storage, an_item, applied, expected):
    storage.feedback.add_many([an_item(n) for n in range(1, 4)])
    storage.feedback.mark_applied(["fb-1"], "digits@2")
    found = [item.id for item in storage.feedback.page(PageRequest(), applied=applied).items]
    assert found == expected or len(found) == expected


def test_pending_items_are_of_one_deployment_and_of_the_kinds_asked_for(storage, an_item):
    storage.feedback.add_many(
        [an_item(1), an_item(2, kind="comment", value="hm"), an_item(3, deployment="other"), an_item(4, kind="rating")]
    )
    assert [item.id for item in storage.feedback.pending("reader", kinds=["label", "rating"])] == ["fb-1", "fb-4"]


def test_ten_thousand_items_are_one_transaction(storage, an_item):
    storage.feedback.add_many([an_item(n) for n in range(10_000)])
    assert storage.feedback.count("reader") == 10_000


FILTERS = [
    {},
    {"deployment": "reader"},
    {"prediction": "pred-1"},
    {"applied": True},
    {"applied": False},
    {"applied": "digits@2"},
]


@pytest.mark.parametrize("first", FILTERS, ids=str)
@pytest.mark.parametrize("second", FILTERS, ids=str)
def test_every_pair_of_filters_finds_what_both_let_pass_by_a_seek(storage, an_item, first, second):
    storage.feedback.add_many(
        [an_item(n, deployment="reader" if n % 2 else "other", prediction_id=f"pred-{n % 3}") for n in range(24)]
    )
    storage.feedback.mark_applied([f"fb-{n}" for n in range(0, 24, 4)], "digits@2")
    storage.feedback.mark_applied([f"fb-{n}" for n in range(1, 24, 4)], "digits@3")
    everything = storage.feedback.page(PageRequest(limit=100)).items
    filters = {**first, **second}
    expected = [item.id for item in everything if passes(item, **filters)]
    assert [item.id for item in storage.feedback.page(PageRequest(limit=100), **filters).items] == expected
    assert plan_of(storage, filters).startswith("SEARCH") or not filters


def passes(item, *, deployment=None, prediction=None, applied=None):
    """What the filters mean, in Python."""
    return (
        deployment in {None, item.deployment}
        and prediction in {None, item.prediction_id}
        and (
            applied is None or applied == (item.applied_in if isinstance(applied, str) else item.applied_in is not None)
        )
    )


def plan_of(storage, filters):
    """How SQLite goes about a listing; fails if it takes a broad index where a narrow one is asked for."""
    from sqlalchemy import text

    from lmaas_server.storage.feedback import _filtered

    query = _filtered(filters.get("deployment"), filters.get("prediction"), filters.get("applied"))
    with storage.database.reading() as connection:
        sql = query.order_by(text("position DESC")).compile(connection, compile_kwargs={"literal_binds": True})
        (step,) = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {sql}"))]
    narrow = (
        "prediction_id" if "prediction" in filters else "applied_in" if isinstance(filters.get("applied"), str) else ""
    )
    assert narrow in step
    return step
