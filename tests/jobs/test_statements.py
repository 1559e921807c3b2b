"""Feedback packed with its inputs: every row comes back as it was predicted on."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from lmaas_server.jobs.statements import decoded, pack_statements, predictions_of, read_statements, read_text_statements
from lmaas_server.records import FeedbackRecord, PredictionRecord

DESCRIBED = {"kind": "tensor", "shape": [2], "dtype": "float32"}


def prediction(id, inputs, inputs_type):
    outputs = [{"label": "cat"}, {"label": "dog"}]
    return PredictionRecord(
        id=id,
        deployment="d",
        model="m@1",
        outputs=outputs,
        rows=2,
        created_at=1.0,
        inputs=inputs,
        inputs_type=inputs_type,
    )


def item(id, prediction_id, index, value):
    return FeedbackRecord(
        id=id,
        prediction_id=prediction_id,
        index=index,
        kind="label",
        value=value,
        weight=2.0,
        source="ann",
        metadata={},
        deployment="d",
        model="m@1",
        created_at=1.0,
    )


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.fixture
def predictions():
    return {
        "json": prediction("json", b'{"inputs": [[1, 2], [3, 4]]}', "application/json"),
        "npy": prediction("npy", npy(np.array([[5, 6], [7, 8]], dtype=np.float32)), "application/x-npy"),
        "bad": prediction("bad", b'{"inputs": [[1, 2, 3], [3, 4]]}', "application/json"),
        "none": prediction("none", None, None),
    }


def test_each_item_has_the_row_it_is_about_and_what_was_shown(tmp_path, predictions):
    items = [item("a", "json", 1, "x"), item("b", "npy", 0, "y"), item("c", "json", 0, "z")]
    assert pack_statements(tmp_path / "f", items, predictions) == ["a", "b", "c"]
    found, left_out = read_statements(tmp_path / "f", DESCRIBED)
    assert [(i["id"], i["inputs"].tolist(), i["shown"], i["value"]) for i in found] == [
        ("a", [3, 4], "dog", "x"),
        ("b", [5, 6], "cat", "y"),
        ("c", [1, 2], "cat", "z"),
    ]
    assert left_out == 0


def test_an_item_whose_inputs_were_not_kept_is_not_packed(tmp_path, predictions):
    assert pack_statements(tmp_path / "f", [item("a", "none", 0, "x"), item("b", "gone", 0, "x")], predictions) == []


def test_a_row_that_does_not_fit_the_model_is_left_out_and_its_neighbour_is_not(tmp_path, predictions):
    pack_statements(tmp_path / "f", [item("a", "bad", 0, "x"), item("b", "bad", 1, "y")], predictions)
    found, left_out = read_statements(tmp_path / "f", DESCRIBED)
    assert ([i["id"] for i in found], left_out) == (["b"], 1)


def test_an_array_of_objects_is_never_unpickled():
    with pytest.raises(ValueError, match="allow_pickle"):
        decoded(npy(np.array([{"a": 1}], dtype=object)), "application/x-npy")


def test_numbers_that_are_none_are_read_as_they_were_sent():
    assert np.isnan(decoded(b'{"inputs": [[NaN, 1]]}', "application/json")[0][0])


@pytest.fixture
def written():
    """Two answers to one prompt, of which the first was cut off."""
    return {
        name: PredictionRecord(
            id=name,
            deployment="d",
            model="m@1",
            outputs=[{"text": f" by {name}", "finish_reason": reason}],
            rows=1,
            created_at=1.0,
            inputs=b'{"inputs": ["Who?"]}',
            inputs_type="application/json",
        )
        for name, reason in (("ann", "length"), ("bob", "stop"))
    }


def about_text(kind, prediction_id, value):
    return replace(item("a", prediction_id, 0, value), kind=kind)


def test_a_preference_comes_with_its_prompt_and_both_texts_and_whether_each_was_ended(tmp_path, written):
    preference = about_text("preference", "bob", {"over": "ann"})
    assert predictions_of([preference]) == {"ann", "bob"}
    pack_statements(tmp_path / "f", [preference], written)
    (found,) = read_text_statements(tmp_path / "f")
    assert (found["prompt"], found["chosen"], found["rejected"]) == ("Who?", " by bob", " by ann")
    assert (found["chosen_ended"], found["rejected_ended"]) == (True, False)


def test_a_rating_of_a_text_comes_with_the_text(tmp_path, written):
    pack_statements(tmp_path / "f", [about_text("rating", "ann", 1)], written)
    (found,) = read_text_statements(tmp_path / "f")
    assert (found["shown"], found["shown_ended"]) == (" by ann", False)


def test_a_preference_over_a_prediction_that_is_gone_is_not_packed(tmp_path, written):
    del written["ann"]
    assert pack_statements(tmp_path / "f", [about_text("preference", "bob", {"over": "ann"})], written) == []
