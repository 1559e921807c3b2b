"""Feedback sorted into rows to learn from and rows to judge by."""

from __future__ import annotations

import numpy as np
import pytest

from lmaas_server.engine.learning.reservoir import Reservoir
from lmaas_server.engine.learning.signals import held_out, read_signals

TARGET = {"kind": "class", "classes": [1, 2]}
FRESH = [f"fb-{n}" for n in range(300) if not held_out(f"fb-{n}")]
HELD = [f"fb-{n}" for n in range(300) if held_out(f"fb-{n}")]


def item(name, value=1, **rest):
    return {"id": name, "inputs": np.zeros(2), "kind": "label", "value": value, "source": None, "created_at": 0} | rest


def signals(*items, target=TARGET, retracted=()):
    return read_signals(items, target, (2,), retracted)


def test_a_fifth_is_held_out_by_its_id():
    assert 40 <= len(HELD) <= 80
    found = signals(*(item(name) for name in HELD + FRESH))
    assert set(found.held.ids) == set(HELD)
    assert set(found.fresh.ids) == set(FRESH)


def test_the_latest_of_a_source_wins_and_is_counted():
    first = item(FRESH[0], 1, prediction_id="p", index=3, source="ann", created_at=1)
    later = item(FRESH[1], 2, prediction_id="p", index=3, source="ann", created_at=2)
    other = item(FRESH[2], 1, prediction_id="p", index=3, source="bob", created_at=3)
    found = signals(later, other, first)
    assert found.fresh.ids == (FRESH[1], FRESH[2])
    assert found.contradictions == 1


def test_a_row_that_one_source_holds_out_is_trained_on_from_none():
    found = signals(item(HELD[0], prediction_id="p", source="a"), item(FRESH[0], prediction_id="p", source="b"))
    assert (found.held.ids, found.fresh.ids) == ((HELD[0],), ())


def test_rows_come_in_order_of_arrival():
    found = signals(item(FRESH[0], created_at=9), item(FRESH[1], created_at=2))
    assert found.fresh.ids == (FRESH[1], FRESH[0])


def test_a_new_label_is_a_new_class_behind_the_old_ones():
    found = signals(item(FRESH[0], 7), item(FRESH[1], 2))
    assert found.classes == (1, 2, 7)
    assert found.fresh.targets.tolist() == [2, 1]


def test_a_class_that_only_the_holdout_names_is_never_right():
    found = signals(item(HELD[0], 7), item(FRESH[0], 1))
    assert found.classes == (1, 2)
    assert found.held.targets.tolist() == [-1]


@pytest.mark.parametrize("value", ["1", True, 1.5, None, [1]])
def test_a_label_of_another_type_is_no_class(value):
    found = signals(item(FRESH[0], value))
    assert (len(found.fresh), found.unusable) == (0, 1)


@pytest.mark.parametrize(("value", "against"), [(1, False), (True, False), (-1, True), (False, True)])
def test_a_rating_speaks_for_or_against_the_shown_class(value, against):
    found = signals(item(FRESH[0], value, kind="rating", shown=2))
    assert found.fresh.targets.tolist() == [1]
    assert found.fresh.against.tolist() == [against]


def test_a_rating_of_nothing_shown_teaches_nothing():
    assert signals(item(FRESH[0], 1, kind="rating")).unusable == 1


@pytest.mark.parametrize("kind", ["comment", "metric", "preference", "demonstration"])
def test_other_kinds_teach_a_classifier_nothing(kind):
    assert signals(item(FRESH[0], kind=kind)).unusable == 1


@pytest.mark.parametrize(("value", "usable"), [([1, 2.5], 1), ([1], 0), (3, 0), ([1, "2"], 0), ([1, float("nan")], 0)])
def test_values_must_be_as_many_as_the_model_gives(value, usable):
    found = signals(item(FRESH[0], value), target={"kind": "value", "shape": [2]})
    assert len(found.fresh) == usable


def test_retracted_feedback_is_left_out():
    assert len(signals(item(FRESH[0]), retracted={FRESH[0]}).fresh) == 0


def test_a_full_reservoir_keeps_the_classes_even():
    reservoir = Reservoir(100, np.random.default_rng(0))
    for row in range(1000):
        reservoir.add(row, int(row % 10 == 0))
    kept = reservoir.rows()
    assert len(kept) == 100
    assert (kept % 10 == 0).sum() == 50


def test_a_reservoir_draws_different_rows_it_holds():
    reservoir = Reservoir(50, np.random.default_rng(0))
    for row in range(20):
        reservoir.add(row, 0)
    assert sorted(reservoir.draw(32).tolist()) == list(range(20))
