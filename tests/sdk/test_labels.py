"""Labels of whole batches: arrays of every library beside a prediction of many rows."""

from __future__ import annotations

import json
from array import array

import httpx
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sdk_samples import PREDICTION

from lmaas import InvalidRequestError
from lmaas.resources._statements import items_said
from lmaas.types import Prediction

NAN = float("nan")


def said(labels, rows=None):
    """What becomes of labels: (row, value) of every item."""
    outputs = [{"label": 0, "score": 1.0}] * (len(labels) if rows is None else rows)
    prediction = Prediction.model_validate({**PREDICTION, "outputs": outputs})
    return [(item.index, item.value) for item in items_said(prediction, {"labels": labels}, key="k")]


@pytest.mark.parametrize(
    "labels",
    [
        [1, 2, 3],
        (1, 2, 3),
        np.array([1, 2, 3]),
        np.array([1, 2, 3], dtype=np.uint8),
        [np.int64(1), np.int64(2), np.int64(3)],
        torch.tensor([1, 2, 3]),
        [torch.tensor(1), torch.tensor(2), torch.tensor(3)],
        pd.Series([1, 2, 3], index=[7, 8, 9]),
        pd.Series([1, 2, 3], dtype="Int64"),
        array("q", [1, 2, 3]),
    ],
    ids=lambda labels: f"{type(labels).__module__}.{type(labels).__name__}",
)
def test_labels_of_any_library_are_python_s_own(labels):
    found = said(labels)
    assert found == [(0, 1), (1, 2), (2, 3)]
    assert {type(value) for _, value in found} == {int}


@pytest.mark.parametrize(
    "labels",
    [
        [1, None, 3],
        [1, NAN, 3],
        np.array([1, np.nan, 3]),
        np.array([1, None, 3], dtype=object),
        torch.tensor([1, torch.nan, 3]),
        pd.Series([1, None, 3]),
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([1, pd.NaT, 3], dtype=object),
    ],
    ids=lambda labels: f"{type(labels).__module__}.{type(labels).__name__}",
)
def test_none_and_nan_say_nothing_of_their_row_and_make_no_floats_of_the_others(labels):
    found = said(labels)
    assert found == [(0, 1), (2, 3)]
    assert {type(value) for _, value in found} == {int}


def test_words_may_have_gaps_too():
    assert said(pd.Series(["a", None, "c"])) == [(0, "a"), (2, "c")]
    assert said(np.array(["a", "b"])) == [(0, "a"), (1, "b")]


def test_values_stay_what_they_are():
    assert said(np.array([1.0, 2.5])) == [(0, 1.0), (1, 2.5)]
    assert said(np.array([1.0, np.nan, 2.5])) == [(0, 1.0), (2, 2.5)]
    assert said(np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]])) == [(0, [1.0, 2.0]), (2, [3.0, 4.0])]


def test_a_row_of_values_and_nan_is_refused_by_name():
    with pytest.raises(InvalidRequestError, match=r"labels\[1\] holds NaN beside numbers"):
        said(np.array([[1.0, 2.0], [np.nan, 1.0]]))


def test_sets_of_labels_are_one_per_row():
    assert said([["a", "b"], None, []]) == [(0, ["a", "b"]), (2, [])]


@pytest.mark.parametrize("labels", [[None, None], np.array([np.nan, np.nan])], ids=["none", "nan"])
def test_labels_that_say_nothing_at_all_are_refused(labels):
    with pytest.raises(InvalidRequestError, match="all are None"):
        said(labels)


@given(st.lists(st.none() | st.integers(-(2**31), 2**31), min_size=1).filter(any))
def test_a_series_says_what_the_list_it_was_made_of_says(labels):
    assert said(pd.Series(labels, dtype=float)) == said(labels)


def test_more_than_ten_thousand_labels_are_sent_in_parts_that_repeat_themselves(connect):
    calls = []

    def store(request):
        items = json.loads(request.content)["items"]
        calls.append((request.headers["idempotency-key"], [item["id"] for item in items]))
        rest = {"weight": 1.0, "deployment": "d", "model": "m@1", "created_at": 1.0}
        return httpx.Response(200, json={"object": "list", "data": [{**item, **rest} for item in items]})

    client = connect(store)
    stored = client.feedback("pred-1", labels=np.arange(25_000) % 10, idempotency_key="mine")
    again = client.feedback("pred-1", labels=np.arange(25_000) % 10, idempotency_key="mine")
    assert [len(ids) for _, ids in calls] == [10_000, 10_000, 5000] * 2
    assert calls[:3] == calls[3:]
    assert len({key for key, _ in calls}) == 3
    assert [item.index for item in stored] == list(range(25_000)) == [item.index for item in again]
