"""Tables are read from csv, jsonl and parquet; types are told from the values and may be named."""

from __future__ import annotations

import datetime as dt
import io
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from lmaas_server.engine.data.kinds import check_same_inputs, input_spec, target_spec
from lmaas_server.engine.data.peek import peek
from lmaas_server.engine.data.reader import preview, rows_from_json
from lmaas_server.errors import InvalidError, TooLargeError

CSV = b"age,job,since,label\n39,clerk,2026-01-31,a\n,smith,2026-02-01T12:00:00Z,b\n41.5,?,,a\n"
JSONL = b"""{"age": 39, "job": "clerk", "since": "2026-01-31", "label": "a"}
{"age": null, "job": " smith ", "since": "2026-02-01T12:00:00Z", "label": "b"}
{"age": 41.5, "label": "a"}
"""
DAY = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)


def parquet() -> bytes:
    columns = {
        "age": pa.array([39, None, 41.5]),
        "job": pa.array(["clerk", "smith", None]).dictionary_encode(),
        "since": pa.array([DAY, DAY + dt.timedelta(days=1, hours=12), None], type=pa.timestamp("ms", "UTC")),
        "label": pa.array(["a", "b", "a"]),
    }
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    "date",
    ["2026-02-01", "2026/02/01", "2026/2/1", "01.02.2026", "1.2.2026", "01.02.2026 00:00", "2026/2/1T01:00:00+01:00"],
)
def test_a_date_whose_order_is_everybodys_is_a_date_and_the_same_in_a_prediction(read, date):
    examples = read(f"day,label\n{date},yes\n2026-02-02,no\n".encode(), filename="t.csv")
    assert [column["type"] for column in examples.input["columns"]] == ["date"]
    assert preview(examples.inputs[0], examples.input) == {"day": "2026-02-01T00:00:00+00:00"}
    rows, errors = rows_from_json([{"day": date}], examples.input)
    assert (rows[0], errors) == (examples.inputs[0], {})


@pytest.mark.parametrize("date", ["01/02/2026", "1-2-2026", "31.02.2026", "2026/13/01", "32.01.2026"])
def test_a_date_that_is_none_or_of_no_certain_order_is_a_category(read, date):
    examples = read(f"day,label\n{date},yes\n2026-02-02,no\n".encode(), filename="t.csv")
    assert [column["type"] for column in examples.input["columns"]] == ["category"]


@pytest.mark.parametrize(
    ("data", "filename"),
    [(CSV, "t.csv"), (JSONL, "t.jsonl"), (parquet(), "t.parquet")],
    ids=["csv", "jsonl", "parquet"],
)
def test_every_format_gives_the_same_rows(read, data, filename):
    examples = read(data, filename=filename)
    assert [column["type"] for column in examples.input["columns"]] == ["number", "category", "date"]
    assert preview(examples.inputs[1], examples.input) == {
        "age": None,
        "job": "smith",
        "since": "2026-02-01T12:00:00+00:00",
    }
    assert np.isnan(examples.inputs).tolist() == [[False] * 3, [True, False, False], [False, True, True]]
    assert examples.classes == ["a", "b"]


def test_a_row_of_a_prediction_is_what_it_is_in_a_file(read):
    examples = read(CSV, filename="t.csv")
    rows, errors = rows_from_json([{"job": "smith", "since": "2026-02-01 12:00:00"}], examples.input)
    assert not errors
    np.testing.assert_array_equal(rows[0], examples.inputs[1])


def test_the_description_counts_what_is_missing_and_lists_categories(read):
    age, job, since = read(CSV, filename="t.csv").input["columns"]
    assert (age["missing"], job["missing"], since["missing"]) == (1, 1, 1)
    assert (job["distinct"], job["categories"]) == (2, ["clerk", "smith"])


def test_a_type_may_be_named_and_a_column_ignored(read):
    spec = {"kind": "table", "columns": {"zip": "category", "id": "ignore"}}
    examples = read(b"id,zip,label\n1,01234,a\n2,98765,b\n", filename="t.csv", input=spec)
    assert [(column["name"], column["type"]) for column in examples.input["columns"]] == [("zip", "category")]
    assert examples.input["unused"] == ["id", "label"]


def test_true_and_false_are_categories_however_they_are_written(read):
    lines = read(b'{"x": true, "label": 1}\n{"x": false, "label": 2}\n', filename="t.jsonl")
    cells = read(b"x,label\nTrue,1\nFALSE,2\n", filename="t.csv")
    np.testing.assert_array_equal(lines.inputs, cells.inputs)


@pytest.mark.parametrize(
    ("values", "kind"),
    [(range(100), "class"), (range(101), "value"), ([1.5, 2], "value"), (["a", "b"], "class"), ([1.0, 2.0], "class")],
)
def test_whole_numbers_of_few_kinds_are_classes_and_others_values(read, values, kind):
    data = "x,y\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values))
    assert read(data.encode(), filename="t.csv").target["kind"] == kind


@pytest.mark.parametrize(
    ("data", "rest", "code", "message"),
    [
        (
            b"a,none,label\n1,,x\n2,NA,y\n",
            {},
            "column_empty",
            "column 'none' of t.csv has no value in any of its 2 rows",
        ),
        (b"a,b\n1,2\n", {}, "column_ambiguous", "which column of t.csv is the target"),
        (b"a,label\n1,x\n2z,y\n", {"columns": {"a": "number"}}, "cell_invalid", "column 'a' holds '2z' in row 1"),
        (b"a,label\n1e999,x\n2,y\n", {}, "cell_invalid", "column 'a' holds '1e999' in row 0"),
        (b"a,label\n2026-02-30,x\n", {"columns": {"a": "date"}}, "cell_invalid", "read as a date"),
        (b"a,label\n1,x\n", {"columns": {"b": "number"}}, "column_unknown", "no column 'b'"),
        (b"label\nx\ny\n", {}, "input_empty", "nothing to learn from"),
        (b"a,label\n1,x\n2\n", {}, "row_ragged", "row 1 of t.csv has 1 cells"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(read, data, rest, code, message):
    with pytest.raises(InvalidError, match=message) as caught:
        read(data, filename="t.csv", input={"kind": "table", **rest})
    assert caught.value.code == code


def test_a_row_beyond_the_first_block_is_named_too(read):
    rows = [f"{i},word,{i % 2}" for i in range(600_000)]
    rows[590_000] += ",more"
    with pytest.raises(InvalidError, match=r"row 590,000 of t\.csv"):
        read("\n".join(["a,b,label", *rows]).encode(), filename="t.csv")


def test_a_file_of_more_rows_than_are_taken_is_refused(read, limits_of):
    with pytest.raises(TooLargeError, match="more than 2 rows"):
        read(CSV, filename="t.csv", limits=limits_of(max_rows=2))


def test_an_array_larger_than_an_upload_may_become_is_refused(read, limits_of):
    with pytest.raises(TooLargeError, match="3 rows of 24 bytes"):
        read(CSV, filename="t.csv", limits=limits_of(max_unpacked_bytes=50))


def test_rows_beyond_the_limit_are_mapped_from_disk(read, limits_of):
    examples = read(CSV, filename="t.csv", limits=limits_of(max_memory_bytes=10))
    assert isinstance(examples.inputs, np.memmap)
    np.testing.assert_array_equal(examples.inputs, read(CSV, filename="t.csv").inputs)


DESCRIBED = {
    "kind": "table",
    "shape": [3],
    "unused": ["label"],
    "columns": [
        {"name": "age", "type": "number"},
        {"name": "job", "type": "category"},
        {"name": "since", "type": "date"},
    ],
}


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"age": "old"}, "cell_invalid"),
        ({"age": 10**400}, "cell_invalid"),
        ({"age": [1]}, "cell_invalid"),
        ({"since": 7}, "cell_invalid"),
        ({"since": "2026-13-01"}, "cell_invalid"),
        ({"agee": 1}, "column_unknown"),
        ({}, "row_empty"),
        ({"age": None, "job": ""}, "row_empty"),
        (7, "input_invalid"),
        ("text", "input_invalid"),
        ([1, 2], "input_invalid"),
    ],
)
def test_a_bad_row_of_a_prediction_is_named_and_its_neighbours_stay(row, code):
    rows, errors = rows_from_json([{"age": 1}, row, {"age": 2}], DESCRIBED)
    assert rows[[0, 2], 0].tolist() == [1, 2]
    assert [(place, error.code) for place, error in errors.items()] == [(1, code)]
    assert "row 1" in errors[1].message


def test_a_row_may_be_a_list_and_may_hold_what_was_the_target():
    rows, errors = rows_from_json([[39, "clerk", None], {"age": "39", "job": "clerk", "label": "a"}], DESCRIBED)
    assert not errors
    np.testing.assert_array_equal(rows[0], rows[1])


def test_a_file_is_read_again_as_it_was_the_first_time(read):
    first = read(CSV, filename="t.csv", input={"kind": "table", "columns": {"age": "category"}})
    other = b"extra,since,age,job,label\n1,2026-01-01,39,clerk,b\n2,,40,,b\n"
    again = read(other, filename="t.csv", input=input_spec(first.input), target=target_spec(first.target))
    check_same_inputs(again.input, first.input, what="the model", param="dataset")
    assert again.inputs[0, :2].tolist() == first.inputs[0, :2].tolist()


def test_tables_of_other_columns_are_told_apart(read):
    one, other = (read(f"{name},label\n1,a\n".encode(), filename="t.csv").input for name in ("age", "size"))
    with pytest.raises(InvalidError, match="age, size differ in name"):
        check_same_inputs(one, other, what="the model", param="dataset")


@pytest.mark.parametrize("rows", [range(1, 3), range(2, 0, -1), range(0)])
def test_rows_are_shown_as_they_stand_in_the_file(read, tmp_path, limits_of, rows):
    examples = read(CSV, filename="t.csv")
    about = {"input": examples.input, "target": examples.target, "limits": limits_of()}
    shown = peek(tmp_path / "upload", filename="t.csv", format="csv", rows=rows, **about)
    file = [("39", "clerk", "2026-01-31", "a"), (None, "smith", "2026-02-01T12:00:00Z", "b"), ("41.5", None, None, "a")]
    assert [(*row["input"].values(), row["target"]) for row in shown] == [file[row] for row in rows]


def test_a_whole_number_keeps_its_digits_as_a_category(read):
    examples = read(
        b'{"id": 9007199254740991, "label": 1}\n',
        filename="t.jsonl",
        input={"kind": "table", "columns": {"id": "category"}},
    )
    assert examples.input["columns"][0]["categories"] == ["9007199254740991"]
    assert math.isfinite(examples.inputs[0, 0])
