"""No file of columns breaks the reader, and no row breaks a prediction: what is wrong is a ServiceError."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmaas_server.engine.data.reader import rows_from_json
from lmaas_server.errors import InvalidError, ServiceError

CSV = b'text,size,when,label\nhello,1.5,2026-01-31,a\n"x, y",,2026-02-01,b\n'
KINDS = st.sampled_from(["text", "table", None])
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
DESCRIBED = {
    "text": {"kind": "text", "shape": []},
    "table": {
        "kind": "table",
        "shape": [3],
        "columns": [
            {"name": "size", "type": "number"},
            {"name": "job", "type": "category"},
            {"name": "when", "type": "date"},
        ],
    },
}


def tried(read, data, filename, kind):
    """Read and return the examples, or None where the file is refused."""
    try:
        return read(data, filename=filename, input={"kind": kind} if kind else None)
    except ServiceError:
        return None


def parquet():
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"text": ["a", "b"], "size": [1.5, None], "label": [1, 2]}), stream)
    return stream.getvalue()


@QUICK
@given(data=st.binary(min_size=1, max_size=200), kind=KINDS, form=st.sampled_from(["csv", "jsonl", "parquet"]))
def test_bytes_are_read_or_refused(read, data, kind, form):
    tried(read, data, f"f.{form}", kind)


@QUICK
@given(text=st.text(st.sampled_from('a1,;\t"\n\r é.-\0'), min_size=1, max_size=60), kind=KINDS)
def test_a_csv_of_any_signs_is_read_or_refused(read, text, kind):
    tried(read, text.encode(), "f.csv", kind)


@QUICK
@given(place=st.integers(0, len(CSV) - 1), byte=st.binary(max_size=3), kind=KINDS)
def test_a_damaged_csv_is_read_or_refused(read, place, byte, kind):
    tried(read, CSV[:place] + byte + CSV[place + 1 :], "f.csv", kind)


@QUICK
@given(data=st.data(), kind=KINDS)
def test_a_damaged_parquet_is_read_or_refused(read, data, kind):
    whole = parquet()
    place = data.draw(st.integers(0, len(whole) - 1))
    tried(read, whole[:place] + data.draw(st.binary(max_size=3)) + whole[place + 1 :], "f.parquet", kind)


def test_a_parquet_with_a_string_that_is_no_utf_8_is_refused(read):
    damaged = bytearray(parquet())
    damaged[damaged.index(b"a")] = 0x80  # the first cell of the column of texts
    with pytest.raises(InvalidError, match="Invalid UTF8") as caught:
        read(bytes(damaged), filename="f.parquet", input={"kind": "text"})
    assert caught.value.code == "dataset_truncated"


@QUICK
@given(rows=st.lists(st.dictionaries(st.sampled_from("abc"), JSON, max_size=3), min_size=1, max_size=4), kind=KINDS)
def test_lines_of_any_values_are_read_or_refused(read, rows, kind):
    lines = [json.dumps({**row, "label": index % 2}) for index, row in enumerate(rows)]
    examples = tried(read, "\n".join(lines).encode(), "f.jsonl", kind)
    if examples is not None:
        assert len(examples) == len(rows)


@QUICK
@given(
    rows=st.lists(JSON | st.dictionaries(st.sampled_from(["size", "job", "when", "x"]), JSON, max_size=4), max_size=4),
    kind=st.sampled_from(["text", "table"]),
)
def test_rows_to_predict_of_any_values_are_taken_or_named(rows, kind):
    found, errors = rows_from_json(rows, DESCRIBED[kind])
    assert len(found) == len(rows)
    assert set(errors) <= set(range(len(rows)))
    if kind == "table" and len(rows):
        assert not np.isinf(found).any()


@pytest.mark.parametrize("kind", ["text", "table"])
def test_lone_surrogates_are_taken_as_text(kind):
    row = "\ud800" if kind == "text" else {"job": "\ud800"}
    _, errors = rows_from_json([row], DESCRIBED[kind])
    assert not errors
