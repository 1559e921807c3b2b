"""What callers hand in: examples and feedback of every form, and mistakes that are named before anything is sent."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sdk_samples import DATASET, JOB, PREDICTION

from lmaas import InvalidRequestError, LMaaS
from lmaas._encode import encode_rows
from lmaas._examples import to_upload
from lmaas.resources._ids import derived, model_id
from lmaas.resources._statements import Statement, items_of
from lmaas.types import Dataset, Job, Prediction

FRAME = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "word": ["x", "y"], "label": ["no", "yes"]})
TWO = Prediction.model_validate(PREDICTION)


def unpacked(upload) -> dict[str, np.ndarray]:
    assert isinstance(upload.source, bytes)
    with np.load(io.BytesIO(upload.source), allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parametrize(
    "examples",
    [
        (np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0, 1])),
        (torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([0, 1])),
        ([[1.0, 2.0], [3.0, 4.0]], [0, 1]),
        [([1.0, 2.0], 0), ([3.0, 4.0], 1)],
        [(np.array([1.0, 2.0]), np.int64(0)), (np.array([3.0, 4.0]), np.int64(1))],
    ],
    ids=["arrays", "tensors", "lists", "rows", "rows of arrays"],
)
def test_examples_of_any_form_become_the_same_npz(examples):
    found = unpacked(to_upload(examples))
    assert found["x"].tolist() == [[1, 2], [3, 4]]
    assert found["y"].tolist() == [0, 1]


def test_a_data_frame_gives_its_columns_and_its_target():
    found = unpacked(to_upload(FRAME[["a", "b", "label"]], column="label"))
    assert found["x"].tolist() == [[1, 0.5], [2, 1.5]]
    assert found["y"].tolist() == ["no", "yes"]


@pytest.mark.parametrize(
    ("examples", "column", "message"),
    [
        (FRAME, "lable", "there is no column 'lable'; there is a, b, word, label"),
        (FRAME, None, "name the target column"),
        (([[1], [2]], [1]), None, "x has 2 rows and y has 1"),
        ([([1], 0), [1]], None, "row 1 must be a pair"),
        ([], None, "the list of rows is empty"),
        (b"", None, "data is empty"),
        ("no-such-file.npz", None, "neither the id of a dataset"),
        (Path(), None, "is a folder"),
        (object(), None, "not object"),
        ((np.array([object()]), [1]), None, "it holds object"),
        ((np.empty((0, 3)), np.empty(0)), None, "x holds no rows"),
    ],
)
def test_what_are_no_examples_is_told(examples, column, message):
    with pytest.raises(InvalidRequestError, match=message):
        to_upload(examples, column=column)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "no rows"),
        (np.empty((0, 3)), "no rows"),
        (np.float32(3), "no rows"),
        (3, "not int"),
        ([Path("no-such.png")], r"inputs\[0\]: cannot read"),
    ],
)
def test_what_are_no_rows_is_told(inputs, message):
    with pytest.raises(InvalidRequestError, match=message):
        encode_rows(inputs)


def test_rows_of_a_list_may_be_arrays_and_scalars_of_any_library():
    rows = [np.array([1, 2]), torch.tensor([3, 4]), (np.float64(5), 6)]
    assert encode_rows(rows).json == [[1, 2], [3, 4], [5.0, 6]]


def said(prediction=TWO, indices=None, **given):
    statement = Statement(prediction=prediction, indices=indices, weight=None, source=None, metadata=None, key="k")
    return [(item.index, item.kind, item.value) for item in items_of(statement, given)]


@pytest.mark.parametrize("labels", [[4, 9], (4, 9), np.array([4, 9]), torch.tensor([4, 9]), pd.Series([4, 9])])
def test_labels_of_any_form_are_one_for_each_row(labels):
    items = said(labels=labels)
    assert items == [(0, "label", 4), (1, "label", 9)]
    assert all(type(value) is int for _, _, value in items)


def test_none_says_nothing_about_a_row():
    assert said(labels=[None, 9]) == [(1, "label", 9)]


def test_indices_name_the_rows_spoken_of():
    assert said(labels=[9], indices=[1]) == said(labels=9, indices=np.array([1])) == [(1, "label", 9)]


def test_one_value_suits_a_prediction_of_one_row():
    one = Prediction.model_validate(PREDICTION | {"outputs": PREDICTION["outputs"][:1]})
    assert said(one, labels="cat") == said(one, labels=["cat"]) == [(0, "label", "cat")]
    assert said("pred-1", labels=np.int64(3)) == [(0, "label", 3)]


def test_each_kind_has_its_keyword():
    assert said(ratings=[True, -1]) == [(0, "rating", True), (1, "rating", -1)]
    assert said(demonstrations=["a", None]) == [(0, "demonstration", "a")]
    assert said(comments=["a", "b"])[1] == (1, "comment", "b")
    assert said(metric={"clicks": np.int32(3)}) == [(0, "metric", {"name": "clicks", "value": 3.0})]
    assert said(preferred="pred-2") == [(0, "preference", {"over": "pred-1"})]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": [1]}, "labels has 1 values for 2 rows"),
        ({"labels": np.zeros(3)}, "labels has 3 values for 2 rows"),
        ({"labels": 1}, "one value and the prediction has 2 rows"),
        ({"labels": [None, None]}, "says nothing"),
        ({"labels": [1], "indices": [2]}, "there is no row 2"),
        ({"labels": [1, 2], "indices": [0]}, "labels has 2 values for 1 indices"),
        ({"labels": [1, 2], "ratings": [1, 1]}, "exactly one of labels=, ratings=; found labels= and ratings="),
        ({"labels": None}, "found none"),
    ],
)
def test_a_wrong_number_of_statements_is_an_error_before_anything_is_sent(given, message):
    with pytest.raises(InvalidRequestError, match=message):
        said(**given)


@pytest.fixture
def offline():
    """A client that would fail at once if it sent anything."""
    with LMaaS(base_url="http://127.0.0.1:1", max_retries=0) as client:
        yield client


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epoch": 3}, TypeError, r"train\(\) has no argument 'epoch'; did you mean 'epochs'\?"),
        (
            {"architecture": {"type": "mlp", "hiden": [3]}},
            InvalidRequestError,
            r"hiden is not known; did you mean 'hidden'",
        ),
        ({"architecture": "mpl"}, InvalidRequestError, r"there is no 'mpl'; did you mean 'mlp'"),
        ({"optimizer": {"type": "adam", "learning_rate": 1}}, InvalidRequestError, "learning_rate is not known"),
        ({"epochs": 0}, InvalidRequestError, "epochs: .*greater than or equal to 1"),
        ({"epochs": "3"}, InvalidRequestError, "epochs: .*valid integer"),
        ({"validation": {"fractoin": 0.1}}, InvalidRequestError, "fractoin is not known; did you mean 'fraction'"),
        ({"name": "a b"}, InvalidRequestError, "name: "),
    ],
)
def test_a_misspelt_word_is_named_with_the_closest_right_one(offline, arguments, error, message):
    with pytest.raises(error, match=message):
        offline.train("ds-1", **{"name": "digits", **arguments})


def test_a_misspelt_option_is_named_too(offline):
    with pytest.raises(TypeError, match=r"retrieve\(\) has no argument 'timeot'; did you mean 'timeout'"):
        offline.jobs.retrieve("job-1", timeot=3)


def test_a_job_stands_for_the_model_it_made():
    assert model_id(Job.model_validate(JOB | {"model": "digits@1"})) == "digits@1"
    with pytest.raises(InvalidRequestError, match="job-1 has made no model"):
        model_id(Job.model_validate(JOB))


def test_a_part_of_a_call_has_a_key_of_its_own():
    assert derived({"idempotency_key": "k", "timeout": 3}, "x") == {"idempotency_key": "k-x", "timeout": 3}
    assert derived({"timeout": 3}, "x") == {"timeout": 3}


def test_a_dataset_object_is_not_uploaded_again(connect):
    import httpx

    client = connect(lambda request: httpx.Response(200, json=JOB))
    assert client.train(Dataset.model_validate(DATASET), name="digits").id == "job-1"
