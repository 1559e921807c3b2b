"""What is fitted on the training rows of a table, and what networks see of a row."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lmaas_server.engine.data.cells import code_of
from lmaas_server.engine.data.table_features import ABSENT, FIRST, UNKNOWN, TablePreprocessing, described_shape

NUMBER = {"shape": [1], "columns": [{"name": "x", "type": "number"}]}
COLOUR = {"shape": [1], "columns": [{"name": "c", "type": "category", "distinct": 3}]}
DATE = {"shape": [1], "columns": [{"name": "d", "type": "date"}]}


def column(*values):
    return np.array(values, dtype=np.float64)[:, None]


def codes(*names):
    return column(*(code_of(name) if name else np.nan for name in names))


def test_half_of_the_training_rows_lie_on_each_side_of_zero():
    fitted = TablePreprocessing.fit(column(*range(1001)), NUMBER)
    assert fitted.features(column(500))[0].tolist() == pytest.approx([0, 0], abs=1e-6)


def test_an_outlier_in_training_does_not_squash_the_rest():
    fitted = TablePreprocessing.fit(column(*range(100), 1e12), NUMBER)
    low, high = fitted.features(column(10, 90))
    assert (high - low > 0.5).all()


def test_a_column_that_had_gaps_in_training_says_so_and_others_take_the_median():
    with_gaps = TablePreprocessing.fit(column(1, 2, 3, np.nan), NUMBER)
    assert with_gaps.features(column(np.nan, 2)).tolist() == [[0, 0, 1], [0, 0, 0]]
    without = TablePreprocessing.fit(column(1, 2, 3), NUMBER)
    np.testing.assert_array_equal(without.features(column(np.nan)), without.features(column(2)))


def test_categories_have_places_and_those_unseen_or_seen_once_share_one():
    fitted = TablePreprocessing.fit(codes("red", "red", "blue", "blue", "once", None), COLOUR)
    found = fitted.features(codes("red", "blue", "once", "never", None))[:, 0].tolist()
    assert sorted(found[:2]) == [FIRST, FIRST + 1]
    assert found[2:] == [UNKNOWN, UNKNOWN, ABSENT]


def test_categories_that_are_all_seen_once_have_places_of_their_own():
    fitted = TablePreprocessing.fit(codes("red", "blue"), COLOUR)
    assert fitted.network_shape == (0, FIRST + 2)


def test_a_date_knows_day_and_season():
    fitted = TablePreprocessing.fit(column(*(day * 86_400.0 for day in range(800))), DATE)
    monday, next_monday, thursday = fitted.features(column(4 * 86_400.0, 11 * 86_400.0, 7 * 86_400.0))
    week = slice(4, 6)
    assert monday[week].tolist() == pytest.approx(next_monday[week].tolist(), abs=1e-5)
    assert np.abs(monday[week] - thursday[week]).max() > 0.5


def test_the_state_is_json_and_comes_back():
    inputs = np.concatenate([column(1, 2, np.nan), codes("a", "a", None), column(0, 1e9, 2e9)], axis=1)
    described = {"columns": [NUMBER["columns"][0], COLOUR["columns"][0], DATE["columns"][0]]}
    fitted = TablePreprocessing.fit(inputs, described)
    again = TablePreprocessing.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again == fitted
    np.testing.assert_array_equal(again.features(inputs), fitted.features(inputs))


def test_the_size_foretold_is_not_smaller_than_the_one_fitted():
    inputs = np.concatenate([column(1, 2, np.nan), codes("a", "b", None), column(0, 1e9, 2e9)], axis=1)
    described = {"columns": [NUMBER["columns"][0], COLOUR["columns"][0], DATE["columns"][0]]}
    fitted = TablePreprocessing.fit(inputs, described).network_shape
    assert all(a <= b for a, b in zip(fitted, described_shape(described), strict=True))


@given(
    train=arrays.arrays(np.float64, (5, 1), elements=st.floats(allow_infinity=False)),
    rows=arrays.arrays(np.float64, (3, 1), elements=st.floats(allow_infinity=False)),
    described=st.sampled_from([NUMBER, DATE]),
)
def test_features_are_finite_whatever_the_numbers(train, rows, described):
    fitted = TablePreprocessing.fit(train, described)
    assert np.isfinite(fitted.features(rows)).all()
