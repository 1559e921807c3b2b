"""Verdicts: counted by version and kind, on predictions since a moment, without what was retracted."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from lmaas_server.records import PageRequest

ABOUT = {"deployment": "reader", "model": "digits@1", "kind": "label", "since": 10.0}


@pytest.fixture
def said(storage, an_item):
    """Six labels of predictions made at 9 to 14, every second good; a thumb, and a label of another version."""
    items = [an_item(n, verdict=n % 2 == 0, predicted_at=9.0 + n) for n in range(6)]
    items.append(an_item(6, kind="rating", verdict=False, predicted_at=20.0))
    items.append(an_item(7, model="digits@2", verdict=False, predicted_at=20.0))
    items.append(an_item(8, kind="label", verdict=None, predicted_at=20.0))
    storage.feedback.add_many(items)
    return storage


def test_verdicts_are_counted_since_a_prediction_and_up_to_a_position(said):
    assert said.verdicts.count(**ABOUT, until=10**9) == (2, 3)
    assert said.verdicts.position(**ABOUT, count=6) is None
    assert said.verdicts.count(**ABOUT, until=said.verdicts.position(**ABOUT, count=3)) == (1, 2)


def test_what_was_retracted_does_not_count(said):
    said.feedback.delete("fb-1", now=30.0)
    assert said.verdicts.count(**ABOUT, until=10**9) == (2, 2)
    assert said.verdicts.position(**ABOUT, count=5) is None


def test_kinds_are_counted_apart(said):
    assert said.verdicts.count(**{**ABOUT, "kind": "rating"}, until=10**9) == (0, 1)


@pytest.fixture
def plans(storage):
    """How the database goes about what is asked of it."""
    steps, asking = [], []

    def explain(connection, _cursor, statement, parameters, _context, _many):
        if statement.startswith("SELECT") and not asking:
            asking.append(True)
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            steps.extend(row[3] for row in rows)
            asking.clear()

    event.listen(storage.database._durable, "before_cursor_execute", explain)
    return steps


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"kind": "comment"}, "kind_position"),
        ({"source": "ann"}, "source_position"),
        ({"deployment": "d", "kind": "comment"}, "deployment_kind_position"),
        ({"deployment": "d", "source": "ann", "applied": False}, "source_position"),
        ({"deployment": "d", "kind": "label", "applied": True}, "deployment_learned_position"),
        ({"prediction": "p", "kind": "label", "source": "ann"}, "prediction_id_position"),
        ({"deployment": "d", "kind": "label", "source": "ann", "applied": "m@2"}, "applied_in_position"),
    ],
)
def test_a_filtered_list_of_feedback_is_one_seek(storage, plans, filters, index):
    storage.feedback.page(PageRequest(), **filters)
    (step,) = plans
    assert f"ix_feedback_{index} " in step


def test_verdicts_are_looked_up_by_version_kind_and_time(storage, plans):
    storage.verdicts.count(**ABOUT, until=5)
    assert "predicted_at>?" in plans[0]


def test_what_an_update_packs_is_one_seek_whatever_its_kinds(storage, plans):
    storage.feedback.standing("d", kinds=["label", "rating"], learned=False)
    (step,) = plans
    assert "ix_feedback_deployment_learned_position " in step
