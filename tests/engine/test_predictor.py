"""Answers: their shape, their agreement, and bad rows that harm nobody."""

from __future__ import annotations

import concurrent.futures
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.engine.serving.predictor import Predictor, _likeliest


@pytest.fixture(scope="module")
def model(blob_model):
    return Predictor.load(blob_model)


def test_a_label_comes_with_its_score(model, blobs):
    answers = model.predict(blobs.inputs)
    right = [a["label"] == "abc"[t] for a, t in zip(answers, blobs.targets, strict=True)]
    assert sum(right) > 270
    assert all(set(a) == {"label", "score"} for a in answers)


def test_probabilities_and_the_likeliest_come_on_request(model, blobs):
    answer = model.predict(blobs.inputs[:1], top_k=2, probabilities=True)[0]
    assert sum(answer["probabilities"]) == pytest.approx(1)
    assert answer["top"][0] == {"label": answer["label"], "score": answer["score"]}
    assert len(answer["top"]) == 2


def test_more_are_asked_for_than_there_are_classes(model, blobs):
    assert len(model.predict(blobs.inputs[:1], top_k=50)[0]["top"]) == 3


def test_values_come_in_the_units_of_the_data(line_model, lines):
    answers = Predictor.load(line_model).predict(lines.inputs)
    error = np.abs(np.array([a["value"] for a in answers]) - lines.targets)
    assert error.mean(axis=0) == pytest.approx([0, 0], abs=15)


def test_arrays_and_json_predict_the_same(model, blobs):
    assert model.predict(blobs.inputs[:9]) == model.predict(blobs.inputs[:9].tolist())


def test_a_batch_predicts_as_its_rows_do_alone(model, blobs):
    together = model.predict(blobs.inputs[:50])
    alone = [model.predict(blobs.inputs[i : i + 1])[0] for i in range(50)]
    assert [a["label"] for a in together] == [a["label"] for a in alone]
    assert [a["score"] for a in together] == pytest.approx([a["score"] for a in alone], abs=1e-6)


BAD = {
    "nan": ([float("nan")] * 6, "not_finite"),
    "beyond float32": ([1e300] + [0.0] * 5, "not_finite"),
    "an integer beyond 64 bits": ([10**40] + [0] * 5, "input_invalid"),
    "overflow": ([3e38, -3e38] * 3, "not_finite"),
    "short": ([1.0, 2.0], "shape_mismatch"),
    "deep": ([[1.0] * 6], "shape_mismatch"),
    "text": (["1"] * 6, "input_invalid"),
    "null": (None, "input_invalid"),
    "object": ({"a": 1}, "input_invalid"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_named_and_its_neighbours_are_unharmed(model, blobs, name):
    row, code = BAD[name]
    good = blobs.inputs[:2].tolist()
    answers = model.predict([good[0], row, good[1]])
    assert answers[1]["error"]["code"] == code
    assert "row 1" in answers[1]["error"]["message"]
    assert [answers[0]["label"], answers[2]["label"]] == [a["label"] for a in model.predict(good)]


def test_a_wrong_shape_is_told_with_both_shapes(model):
    message = model.predict([[1.0, 2.0]])[0]["error"]["message"]
    assert "(2,)" in message
    assert "(6,)" in message


def test_an_array_of_the_callers_is_never_changed(model):
    rows = np.full((2, 6), np.nan, dtype=np.float32)
    model.predict(rows)
    assert np.isnan(rows).all()


def test_many_rows_go_through_in_parts(model, blobs):
    many = np.tile(blobs.inputs, (8, 1))
    assert len(model.predict(many)) == 2400


def test_no_rows_give_no_answers(model):
    assert model.predict([]) == []


def test_binary_answers_hold_nan_where_a_row_is_bad(model, blobs):
    rows = blobs.inputs[:3].copy()
    rows[1] = np.inf
    array, errors = model.arrays(rows)
    assert array.dtype == np.float32
    assert np.isnan(array[1]).all()
    assert sorted(errors) == [1]
    assert array[[0, 2]].sum(axis=1) == pytest.approx([1, 1])


def test_threads_share_a_model(model, blobs):
    expected = model.predict(blobs.inputs[:20])
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.predict(blobs.inputs[:20]), range(40)))
    assert all(answers == expected for answers in found)


def test_a_damaged_weights_file_is_refused(blob_model, tmp_path):
    copy = shutil.copytree(blob_model, tmp_path / "copy")
    data = bytearray((copy / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "weights.safetensors").write_bytes(data)
    with pytest.raises(Exception, match="damaged"):
        Predictor.load(copy)


@given(st.integers(1, 12), st.integers(1, 12), st.randoms(use_true_random=False))
def test_the_likeliest_class_is_the_first_of_the_largest_however_many_rows_there_are(rows, classes, random):
    # Few different numbers, so that several are the largest.
    shares = np.array([[random.randrange(4) / 4 for _ in range(classes)] for _ in range(rows)], dtype=np.float32)
    places, scores = _likeliest(shares)
    assert places == shares.argmax(axis=1).tolist()
    assert scores == shares.max(axis=1).tolist()
