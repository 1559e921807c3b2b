"""Rows of named columns travel as JSON lines, with plain cells."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from lmaas._encode import encode_rows
from lmaas._examples import to_upload
from lmaas.errors import InvalidRequestError


def lines(upload):
    assert upload.filename == "data.jsonl"
    return [json.loads(line) for line in upload.source.splitlines()]


def test_a_frame_of_any_types_keeps_its_columns():
    frame = pd.DataFrame({"age": [39, None], "job": ["clerk", None], "label": ["a", "b"]})
    assert lines(to_upload(frame, column="label")) == [
        {"age": 39.0, "job": "clerk", "label": "a"},
        {"age": None, "job": None, "label": "b"},
    ]


def test_a_frame_of_numbers_with_one_missing_keeps_its_columns():
    frame = pd.DataFrame({"age": [39, None], "label": [0, 1]})
    assert lines(to_upload(frame, column="label"))[1] == {"age": None, "label": 1}


def test_dates_of_pandas_become_iso_and_not_a_time_is_missing():
    frame = pd.DataFrame({"when": pd.to_datetime(["2026-01-31", None]), "label": [0, 1]})
    assert [row["when"] for row in lines(to_upload(frame, column="label"))] == ["2026-01-31T00:00:00", None]


@pytest.mark.parametrize(
    "examples",
    [
        (["hello", "bye"], [1, 0]),
        (np.array(["hello", "bye"]), np.array([1, 0])),
        [("hello", 1), ("bye", 0)],
        [{"text": "hello", "target": 1}, {"text": "bye", "target": 0}],
    ],
    ids=["lists", "arrays", "pairs", "dicts"],
)
def test_texts_of_any_form_become_the_same_lines(examples):
    assert lines(to_upload(examples)) == [{"text": "hello", "target": 1}, {"text": "bye", "target": 0}]


def test_a_cell_may_be_of_any_library():
    row = {"a": np.float32(1), "b": Decimal("1.5"), "c": dt.date(2026, 1, 31), "d": ("x", "y"), "e": np.nan}
    assert lines(to_upload([row])) == [{"a": 1.0, "b": 1.5, "c": "2026-01-31", "d": ["x", "y"], "e": None}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"a": 1}, [2]], "row 1 must be a dict"),
        ([{"a": object()}], r"dataset\[0\]\['a'\] holds object"),
        ([{"a": float("inf")}], r"dataset\[0\]\['a'\] is infinite"),
        ((["a", "b"], [1]), "x has 2 rows and y has 1"),
    ],
)
def test_rows_that_are_none_are_named(rows, message):
    with pytest.raises(InvalidRequestError, match=message):
        to_upload(rows)


@pytest.mark.parametrize("row", ["hello", {"age": 39}])
def test_a_text_or_a_dict_alone_is_one_row(row):
    assert encode_rows(row).json == [row]


def test_a_frame_to_predict_keeps_its_columns():
    assert encode_rows(pd.DataFrame({"age": [39, None], "job": ["clerk", "smith"]})).json == [
        {"age": 39.0, "job": "clerk"},
        {"age": None, "job": "smith"},
    ]
