"""Arrays of any library become .npy and .npz bytes; numpy reads them back here, and the client never imports it."""

from __future__ import annotations

import array
import io

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lmaas import InvalidRequestError
from lmaas._arrays import as_array, from_nested, npz

NUMBERS = st.sampled_from(["?", "i1", "u1", "<i4", ">i4", "<i8", "<f2", "<f4", ">f8", "<U3"])


def back(values) -> np.ndarray:
    return np.load(io.BytesIO(values.npy()), allow_pickle=False)


@given(hnp.arrays(NUMBERS.map(np.dtype), hnp.array_shapes(max_dims=4, max_side=5), elements={"allow_nan": False}))
def test_any_numpy_array_comes_back_as_it_went(values):
    found = back(as_array(values))
    assert found.dtype == values.dtype
    assert np.array_equal(found, values)


@given(hnp.arrays("<f4", (4, 6)), st.sampled_from([np.s_[::2], np.s_[:, ::-1], np.s_[1:3, 2:]]))
def test_a_view_of_an_array_comes_back_in_order(values, part):
    assert np.array_equal(back(as_array(values[part])), values[part], equal_nan=True)


def test_fortran_order_is_turned_into_c_order():
    values = np.asfortranarray(np.arange(6).reshape(2, 3))
    assert np.array_equal(back(as_array(values)), values)


@given(st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3), min_size=1, max_size=5))
def test_nested_whole_numbers_become_int64(rows):
    assert back(from_nested(rows)).tolist() == rows


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_floats_become_float64(rows):
    assert back(from_nested(rows)).tolist() == rows


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5), min_size=1))
def test_strings_become_unicode_arrays(rows):
    assert back(from_nested(rows)).tolist() == rows


def test_ragged_rows_are_refused_by_place():
    with pytest.raises(InvalidRequestError, match=r"x\[1\] has 1 values where the first row has 2"):
        from_nested([[1, 2], [3]], "x")


def test_mixed_rows_are_refused():
    with pytest.raises(InvalidRequestError, match="numbers only, or strings only"):
        from_nested([1, "a"], "y")


def test_whole_numbers_beyond_64_bits_are_refused():
    with pytest.raises(InvalidRequestError, match="beyond 64 bits"):
        from_nested([2**64])


def test_a_tensor_with_a_gradient_is_taken():
    values = torch.arange(4.0, requires_grad=True)
    assert back(as_array(values)).tolist() == [0, 1, 2, 3]


def test_bfloat16_becomes_float32():
    assert back(as_array(torch.ones(2, dtype=torch.bfloat16))).dtype == np.float32


def test_a_series_and_a_frame_are_taken():
    assert back(as_array(pd.Series([1, 2]))).tolist() == [1, 2]
    assert back(as_array(pd.DataFrame({"a": [1, 2], "b": [3, 4]}))).tolist() == [[1, 3], [2, 4]]


def test_an_array_of_the_standard_library_is_taken():
    assert back(as_array(array.array("f", [1, 2]))).tolist() == [1, 2]


def test_dates_are_refused_by_type():
    with pytest.raises(InvalidRequestError, match="M8"):
        as_array(np.array(["2026-01-01"], dtype="datetime64[D]"), "x")


def test_objects_that_are_strings_become_strings():
    assert back(as_array(np.array(["a", "bc"], dtype=object))).tolist() == ["a", "bc"]


def test_the_same_arrays_give_the_same_archive():
    arrays = {"x": as_array(np.ones(3)), "y": as_array(np.zeros(3))}
    assert npz(arrays) == npz(arrays)
    with np.load(io.BytesIO(npz(arrays)), allow_pickle=False) as file:
        assert sorted(file) == ["x", "y"]


@pytest.mark.parametrize("value", [[1, 2], "text", b"bytes", 3, None])
def test_what_is_no_array_is_told_apart(value):
    assert as_array(value) is None
