"""Rows of a JSON body: read at once where they are numbers, and never read in another way than one by one."""

from __future__ import annotations

import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.engine.data.json_rows import NumberRows, plain_rows

NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.just(-0.0)
)
VALUES = st.recursive(
    st.one_of(NUMBERS, st.none(), st.booleans(), st.text(max_size=4)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=12,
)
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def one_by_one(body: bytes):
    """Return what a reader of JSON makes of the body's rows."""
    read = orjson.loads(body)
    return read["inputs"] if isinstance(read, dict) and list(read) == ["inputs"] else None


@given(st.one_of(st.lists(VALUES, min_size=1, max_size=4), st.lists(st.lists(NUMBERS, max_size=3), min_size=1)))
def test_rows_are_those_that_are_read_one_by_one(rows):
    try:
        body = orjson.dumps({"inputs": rows})
    except TypeError:  # an integer beyond 64 bits
        body = json.dumps({"inputs": rows}).encode()
    assert list(plain_rows(body)) == one_by_one(body)
    assert [type(row) for row in plain_rows(body)] == [type(row) for row in one_by_one(body)]


@given(SHAPES, st.data(), st.sampled_from([None, 1]))
def test_numbers_in_lists_of_one_shape_are_the_array_that_numpy_makes_of_them(shape, data, indent):
    of = data.draw(st.sampled_from([st.integers(-(2**63), 2**63 - 1), st.floats(-1e300, 1e300)]))
    size = int(np.prod(shape))
    flat = data.draw(st.lists(of, min_size=size, max_size=size))
    array = np.array(flat).reshape(shape)
    body = json.dumps({"inputs": array.tolist()}, indent=indent).encode()
    rows = plain_rows(body)
    read = np.asarray(one_by_one(body))
    assert np.asarray(rows).dtype == read.dtype
    assert np.array_equal(np.asarray(rows), read)
    assert len(rows) == shape[0]


@given(st.binary(max_size=40), st.sampled_from([b"", b'{"inputs":[[', b'{"inputs":[[1,2],']))
def test_what_is_no_json_is_for_others_to_refuse(junk, begun):
    try:
        expected = one_by_one(begun + junk) or None
    except orjson.JSONDecodeError:
        expected = None
    found = plain_rows(begun + junk)
    assert (list(found) if found is not None else None) == (expected if isinstance(expected, list) else None)


@pytest.mark.parametrize("body", ['{"inputs": [[1, 2], [3, 4]]}', '{"inputs":[1.5]}', '{"inputs":[[[1e2, 2.0]]]}'])
def test_numbers_are_read_at_once(body):
    assert isinstance(plain_rows(body.encode()), NumberRows)


@pytest.mark.parametrize(
    "rows",
    [
        "[[1,[2,3],4],[1,[],2]]",
        "[[1,2],[3]]",
        "[[1,[]]]",
        "[[1,2],3]",
        "[[],[]]",
        "[[1,true]]",
        "[[1e5]]",
        "[[1],[[2]]]",
        "[[1],[]]",
    ],
)
def test_lists_of_several_shapes_and_what_is_no_plain_number_are_read_one_by_one(rows):
    body = f'{{"inputs":{rows}}}'.encode()
    assert plain_rows(body) == json.loads(body)["inputs"]


@pytest.mark.parametrize(
    "body",
    [
        '{"inputs":[[1]],"inputs":[[2]]}',
        '{"inputs1":[[1]]}',
        '{"in puts":[[1]]}',
        '{"inputs":[[1]],"user":"u"}',
        '{"inputs":[]}',
        '{"inputs":[[NaN]]}',
        "[[1]]",
        "",
    ],
)
def test_a_body_of_anything_but_its_rows_is_for_others(body):
    found = plain_rows(body.encode())
    assert found is None or list(found) == one_by_one(body.encode())


@pytest.mark.parametrize("depth", [2, 64, 65, 500])
def test_rows_of_any_depth_that_json_may_have_are_read(depth):
    body = b'{"inputs":' + b"[" * depth + b"1" + b"]" * depth + b"}"
    assert list(plain_rows(body)) == one_by_one(body)


def test_an_integer_beside_a_fraction_stays_an_integer_to_who_looks_at_it():
    rows = plain_rows(b'{"inputs":[[1,2.5]]}')
    assert np.asarray(rows).dtype == np.float64
    assert [type(cell) for cell in rows[0]] == [int, float]


def test_a_copy_is_the_callers_own():
    rows = plain_rows(b'{"inputs":[[1,2.5]]}')
    mine = np.array(rows)
    mine[0, 0] = 7
    assert np.asarray(rows)[0, 0] == 1
