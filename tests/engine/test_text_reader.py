"""Texts are read from csv, jsonl and parquet, with their targets."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from lmaas_server.engine.data.kinds import restored_rows, stored_rows
from lmaas_server.engine.data.reader import column_values, preview, rows_from_json
from lmaas_server.errors import InvalidError

CSV = b'text,label\nhello there,1\n"two\nlines, one cell",2\n'
JSONL = b'{"text": "hello there", "label": 1}\n\n{"label": 2, "text": "two\\nlines, one cell"}\n'


def parquet(**columns):
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "filename"),
    [
        (CSV, "t.csv"),
        (CSV.replace(b",1\n", b";1\n").replace(b",2\n", b";2\n").replace(b"text,", b"text;"), "t.csv"),
        (b"\xef\xbb\xbf" + CSV, "t.csv"),
        (JSONL, "t.jsonl"),
        (parquet(text=["hello there", "two\nlines, one cell"], label=[1, 2]), "t.parquet"),
        (parquet(text=["hello there", "two\nlines, one cell"], label=[1, 2]), "without-an-ending"),
    ],
    ids=["csv", "semicolons", "byte order mark", "jsonl", "parquet", "told by its first bytes"],
)
def test_every_format_gives_the_same_rows(read, data, filename):
    examples = read(data, filename=filename)
    assert [preview(row, examples.input) for row in examples.inputs] == ["hello there", "two\nlines, one cell"]
    assert examples.classes == [1, 2]
    assert examples.targets.tolist() == [0, 1]


def test_the_longest_strings_are_the_text_where_no_name_tells(read):
    data = b"a,b\nyes,a long sentence of words\nno,another long sentence\n"
    examples = read(data, filename="t.csv", input={"kind": "text"})
    assert (examples.input["column"], examples.target["columns"]) == ("b", ["a"])


def test_columns_may_be_named(read):
    data = b"id,body,kind\n1,hello,x\n2,bye,y\n"
    examples = read(data, filename="t.csv", input={"kind": "text", "column": "body"}, target={"column": "kind"})
    assert examples.classes == ["x", "y"]


def test_a_file_without_a_header_is_read_by_number(read):
    spec = {"kind": "text", "header": False, "column": "column_2"}
    examples = read(b"ham\thello\nspam\tfree\n", filename="t.csv", input=spec, target={"column": "column_1"})
    assert examples.classes == ["ham", "spam"]


def test_lists_are_several_classes_a_row(read):
    data = b'{"text": "a", "labels": ["x", "y"]}\n{"text": "b", "labels": []}\n{"text": "c", "labels": ["y"]}\n'
    examples = read(data, filename="t.jsonl")
    assert examples.target == {"kind": "class", "classes": ["x", "y"], "columns": ["labels"], "multiple": True}
    assert examples.targets.tolist() == [[1, 1], [0, 0], [0, 1]]


def test_a_separator_makes_several_classes_of_a_cell(read):
    examples = read(b"text,label\na,x; y\nb,y\n", filename="t.csv", target={"column": "label", "separator": ";"})
    assert examples.targets.tolist() == [[1, 1], [0, 1]]


def test_several_columns_are_several_values(read):
    target = {"column": ("low", "high")}
    examples = read(b"text,low,high\na,1.5,2\nb,2,3\n", filename="t.csv", target=target)
    assert examples.target["shape"] == [2]
    assert examples.targets.tolist() == [[1.5, 2], [2, 3]]


@pytest.mark.parametrize(
    ("data", "rest", "code", "message"),
    [
        (b'text,label\na,1\n" ",2\n', {}, "text_empty", "row 1 is empty"),
        (b"text,label\na,1\nb,2,3\n", {}, "row_ragged", "row 1 of t.csv has 3 cells and there are 2 columns"),
        (b"text,label\na,1\nb\n", {}, "row_ragged", "row 1 of t.csv has 1 cells"),
        (b"text,label\na,\nb,2\n", {}, "labels_invalid", "row 0 has no target: column 'label'"),
        ("text,label\ncafé,1\n".encode("latin-1"), {}, "encoding_invalid", "not utf-8 text .about line 2"),
        (b"text,label\n", {}, "dataset_empty", "no rows"),
        (b"text,text\na,b\n", {}, "columns_invalid", "two columns named 'text'"),
        (b"text,\na,b\n", {}, "columns_invalid", "column 2 of t.csv has no name"),
        (b"text,p,q\na,b,c\n", {}, "column_ambiguous", "which column of t.csv is the target"),
        (b"text,label\na,1\n", {"input": {"kind": "text", "encoding": "klingon"}}, "encoding_unknown", "klingon"),
        (b"text,label\na,1\n", {"input": {"kind": "text", "column": "x"}}, "column_unknown", "no column 'x'"),
        (b"text,label\na,1\n", {"target": {"column": "x"}}, "column_unknown", "no column 'x'"),
        (b"text,label\na,1.5\nb,2\n", {"target": {"kind": "class"}}, "labels_invalid", "fractions"),
        (b"text,label\na,x\nb,2\n", {"target": {"kind": "value", "column": "label"}}, "labels_invalid", "numbers"),
        (b"text,label\n\0a,x\n", {}, "encoding_invalid", "zero byte"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(read, data, rest, code, message):
    with pytest.raises(InvalidError, match=message) as caught:
        read(data, filename="t.csv", **rest)
    assert caught.value.code == code


def test_a_line_that_is_no_object_names_its_row(read):
    with pytest.raises(InvalidError, match=r"row 1 of t\.jsonl is no JSON object"):
        read(b'{"text": "a", "label": 1}\n[2]\n', filename="t.jsonl")


def test_another_encoding_may_be_named(read):
    data = "text,label\ncafé,1\nthé,2\n".encode("cp1252")
    examples = read(data, filename="t.csv", input={"kind": "text", "encoding": "cp1252"})
    assert preview(examples.inputs[0], examples.input) == "café"


def test_a_long_text_is_cut_between_characters_and_counted(read):
    data = "text,label\n{},1\nb,2\n".format("é" * 40).encode()
    examples = read(data, filename="t.csv", input={"kind": "text", "max_bytes": 17})
    assert preview(examples.inputs[0], examples.input) == "é" * 8
    assert examples.input["longer"] == 1


def test_rows_beyond_the_limit_are_mapped_from_disk(read, limits_of):
    data = b"text,label\n" + b"".join(b"word number %d,%d\n" % (i, i % 2) for i in range(1000))
    examples = read(data, filename="t.csv", limits=limits_of(max_memory_bytes=1000))
    assert isinstance(examples.inputs, np.memmap)
    assert examples.inputs.tolist() == read(data, filename="t.csv").inputs.tolist()


def test_texts_survive_as_tensors(read):
    examples = read(CSV, filename="t.csv")
    again = restored_rows(stored_rows(examples.inputs, examples.input), examples.input)
    assert again.tolist() == examples.inputs.tolist()


def test_a_bad_row_of_a_prediction_is_named_and_its_neighbours_stay():
    rows, errors = rows_from_json(["hello", "", 7, "bye"], {"kind": "text", "shape": []})
    assert rows[[0, 3]].tolist() == [b"hello", b"bye"]
    assert {row: error.code for row, error in errors.items()} == {1: "text_empty", 2: "input_invalid"}


def test_any_column_can_be_sliced_by(tmp_path, limits_of):
    path = tmp_path / "t.csv"
    path.write_bytes(b"text,label,from\na,1,web\nb,2,\n")
    about = {"filename": "t.csv", "format": "csv", "input": {"kind": "text"}, "limits": limits_of()}
    assert column_values(path, column="from", **about) == ["web", ""]
    with pytest.raises(InvalidError, match="no column 'form'"):
        column_values(path, column="form", **about)
