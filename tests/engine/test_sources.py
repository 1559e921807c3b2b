"""How much of an update one source may be."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas.types import Gate
from lmaas_server.engine.learning.gate import check_fresh
from lmaas_server.engine.learning.signals import held_out, read_signals
from lmaas_server.engine.learning.sources import FLOOR, JUDGED_FLOOR, limit_of, take_shares

TARGET = {"kind": "class", "classes": [1, 2]}


def said(**counts):
    """So many items of each source; `nobody` stands for none."""
    return [
        {"id": f"fb-{source}-{n}", "source": None if source == "nobody" else source, "weight": 1.0}
        for source, count in counts.items()
        for n in range(count)
    ]


def left(taken):
    """How many items of each source are taken."""
    return Counter(item["source"] for item in taken.items)


@pytest.mark.parametrize(
    ("counts", "share", "capped"),
    [
        ({"loud": 300, "a": 50, "b": 40}, 0.5, {"loud": 210}),  # 90 beside 90
        ({"loud": 300, "a": 50, "b": 40}, 1.0, {}),
        ({"loud": 300}, 0.5, {}),  # who speaks alone is not limited
        ({"nobody": 300}, 0.5, {}),
        ({"nobody": 300, "a": 3}, 0.5, {}),  # those without a source cannot be told apart
        ({"loud": 300, "nobody": 100}, 0.5, {"loud": 200}),
        ({"loud": 300, "a": 3}, 0.5, {"loud": 300 - FLOOR}),  # a batch is always taken
        ({"a": 100, "b": 100, "c": 100}, 0.1, {}),  # no less than even shares
        ({"a": 300, "b": 200, "c": 100, "d": 100}, 0.3, {"a": 150, "b": 50}),  # 150 of 500
        ({}, 0.5, {}),
    ],
)
def test_a_source_is_held_to_its_share_of_what_is_taken(counts, share, capped):
    taken = take_shares(said(**counts), share)
    assert taken.capped == capped
    assert len(taken.items) + len(taken.left_out) == sum(counts.values())


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 200)), st.integers(0, 200), st.floats(0.01, 1))
def test_no_source_ever_has_more_than_its_share_or_the_least_that_everyone_has(counts, nameless, share):
    items = said(**counts, nobody=nameless)
    taken = take_shares(items, share)
    has = left(taken)
    parties = len(has)
    even = max(share, 1 / parties) if parties > 1 else 1
    total = sum(min(count, FLOOR) if source in taken.capped else count for source, count in has.items())
    assert all(has[s] <= max(FLOOR, even * max(total, has.total()) + 1) for s in counts)
    assert has[None] == nameless
    assert [item for item in items if item["id"] not in taken.left_out] == list(taken.items)


@given(st.lists(st.integers(0, 500), max_size=8), st.integers(0, 500), st.floats(0.01, 1))
def test_the_limit_lets_as_much_through_as_it_may(named, nameless, share):
    limit = limit_of(named, nameless, share)
    kept = [min(size, limit) for size in named]
    assert all(size <= share * (sum(kept) + nameless) + 1e-3 for size in kept)


def test_the_weights_of_a_source_are_held_to_its_share_too():
    heavy = [{**item, "weight": 1000.0} for item in said(heavy=40)]
    taken = take_shares([*heavy, *said(a=30, b=30)], 0.5)
    assert taken.capped == {}
    assert taken.lightened == {"heavy": pytest.approx(60 / 40_000)}
    assert sum(item["weight"] for item in taken.items if item["source"] == "heavy") == pytest.approx(60)


def test_which_items_are_taken_does_not_depend_on_their_order():
    items = said(loud=200, a=50)
    assert take_shares(items, 0.5).left_out == take_shares(items[::-1], 0.5).left_out


def label(item, value=1):
    return {**item, "inputs": [0, 0], "kind": "label", "value": value, "prediction_id": item["id"]}


def test_what_is_beyond_a_share_is_neither_learned_from_nor_judged_by():
    items = [label(item) for item in said(loud=400, a=60, b=60)]
    found = read_signals(items, TARGET, (2,), (), max_source_share=0.5)
    taken = {*found.fresh.ids, *found.held.ids}
    assert not taken & found.capped_ids
    assert found.capped == {"loud": len(found.capped_ids)}
    for rows in (found.fresh, found.held):
        loud = sum("loud" in id for id in rows.ids)
        assert loud == len(rows) - loud


def test_a_source_that_chose_its_ids_to_be_judged_by_is_held_to_its_share_of_the_judges():
    loud = [item for item in said(loud=900) if held_out(item["id"])]
    found = read_signals([label(i) for i in [*loud, *said(a=60, b=60)]], TARGET, (2,), (), max_source_share=0.5)
    assert 2 * sum("loud" in id for id in found.held.ids) == len(found.held)


def test_judges_of_one_source_alone_are_too_few_to_pass_the_test():
    quiet = [item for item in said(a=20, b=20) if not held_out(item["id"])]
    found = read_signals([label(i) for i in [*said(loud=300), *quiet]], TARGET, (2,), (), max_source_share=0.5)
    assert len(found.held) == JUDGED_FLOOR
    assert not check_fresh(np.zeros(JUDGED_FLOOR), np.ones(JUDGED_FLOOR), Gate()).passed
