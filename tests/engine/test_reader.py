"""Uploads of tensors: what is read, and what is refused and how."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest

from lmaas_server.engine.data.examples import ReadLimits
from lmaas_server.errors import InvalidError, ServiceError, TooLargeError, UnsupportedError

X = np.arange(24, dtype=np.float32).reshape(4, 6)
Y = np.array([3, 1, 3, 2])


def refused(read, *args, **fields):
    with pytest.raises(ServiceError) as caught:
        read(*args, **fields)
    return caught.value


def test_labels_become_indices_into_the_sorted_classes(read):
    examples = read(x=X, y=Y)
    assert examples.target == {"kind": "class", "classes": [1, 2, 3]}
    assert examples.targets.tolist() == [2, 0, 2, 1]


def test_floats_are_values_unless_the_target_says_otherwise(read):
    assert read(x=X, y=Y.astype(float)).target == {"kind": "value", "shape": []}
    assert read(x=X, y=np.ones((4, 3))).target == {"kind": "value", "shape": [3]}


def test_integers_can_be_read_as_values(read):
    assert read(x=X, y=Y, target={"kind": "value"}).targets.tolist() == [3.0, 1.0, 3.0, 2.0]


def test_strings_and_bytes_and_booleans_are_classes(read):
    assert read(x=X, y=np.array(["b", "a", "b", "a"])).classes == ["a", "b"]
    assert read(x=X, y=np.array([b"b", b"a", b"b", b"a"])).classes == ["a", "b"]
    assert read(x=X, y=np.array([True, False, True, True])).classes == [0, 1]


def test_an_npz_without_y_has_no_targets(read):
    examples = read(x=X)
    assert examples.targets is None
    assert examples.target == {"kind": "none"}


def test_uint8_stays_uint8_and_everything_else_becomes_float32(read):
    assert read(x=X.astype(np.uint8)).inputs.dtype == np.uint8
    assert read(x=X.astype(np.int64)).inputs.dtype == np.float32


def test_fortran_order_and_big_endian_arrays_read_the_same(read):
    assert np.array_equal(read(x=np.asfortranarray(X)).inputs, X)
    assert np.array_equal(read(x=X.astype(">f8")).inputs, X)


def test_a_compressed_npz_reads_the_same(read):
    stream = io.BytesIO()
    np.savez_compressed(stream, x=X, y=Y)
    assert np.array_equal(read(stream.getvalue()).inputs, X)


def test_one_number_a_row_is_a_row_of_one_feature(read):
    assert read(x=np.arange(5.0)).input["shape"] == [1]


def test_the_format_is_told_from_the_bytes_when_the_name_says_nothing(read, pack):
    assert read(pack(x=X, y=Y), filename="upload").format == "npz"


def test_an_empty_file_is_refused(read):
    error = refused(read, b"")
    assert (error.code, error.param) == ("dataset_empty", "file")


def test_an_npz_without_rows_is_refused(read):
    assert refused(read, x=np.empty((0, 3))).code == "dataset_empty"


def test_rows_without_numbers_are_refused(read):
    assert refused(read, x=np.empty((3, 0))).code == "input_empty"


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.95, 0.999])
def test_a_truncated_npz_is_refused(read, pack, kept):
    data = pack(x=np.random.default_rng(0).normal(size=(100, 30)), y=np.arange(100))
    error = refused(read, data[: int(len(data) * kept)])
    assert error.code == "dataset_truncated"
    assert "data.npz" in error.message


def test_different_lengths_are_refused_with_both(read):
    error = refused(read, x=X, y=Y[:3])
    assert error.code == "rows_mismatch"
    assert "4" in error.message
    assert "3" in error.message


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_an_input_that_is_not_finite_is_refused_by_row(read, value):
    x = X.astype(np.float64)
    x[2, 1] = value
    error = refused(read, x=x, y=Y)
    assert (error.code, error.param) == ("not_finite", "x[2]")


def test_a_value_that_is_not_finite_is_refused_by_row(read):
    error = refused(read, x=X, y=np.array([0.0, np.nan, 1.0, 2.0]))
    assert (error.code, error.param) == ("not_finite", "y[1]")


@pytest.mark.parametrize(
    ("y", "target"),
    [
        (np.array([0.5, 1.0, 2.0, 1.0]), "class"),
        (np.eye(4, dtype=int), "class"),
        (np.array(["a", "b", "a", "b"]), "value"),
        (np.array([1j, 2, 3, 4]), None),
        (np.array(["2020-01-01"] * 4, dtype="datetime64[D]"), None),
    ],
)
def test_labels_of_a_wrong_type_are_refused(read, y, target):
    error = refused(read, x=X, y=y, target={"kind": target} if target else None)
    assert error.code in {"labels_invalid", "dtype_unsupported"}
    assert error.param == "y"


def test_strings_that_are_no_text_are_refused(read):
    y = np.frombuffer(struct.pack("<4I", 0x41, 0xD800, 0x110000, 0x42), dtype="<U1")
    assert refused(read, x=X, y=y).code == "labels_invalid"


def test_object_arrays_are_never_unpickled(read):
    error = refused(read, x=X, y=np.array([{}, [], 1, "a"], dtype=object))
    assert (error.code, error.param) == ("object_array", "y")


def test_an_unknown_array_is_refused_by_name(read):
    error = refused(read, x=X, z=Y)
    assert (error.code, error.param) == ("array_unknown", "z")


def test_an_npz_without_x_is_refused(read):
    assert refused(read, y=Y).code == "array_missing"


def test_a_target_that_needs_y_is_refused_without_it(read):
    assert refused(read, x=X, target={"kind": "class"}).code == "array_missing"


def test_a_header_that_claims_more_than_the_file_holds_is_refused_before_allocation(read):
    stream = io.BytesIO()
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 1 << 10)})
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x.npy", head.getvalue() + b"\0" * 64)
    error = refused(read, stream.getvalue())
    assert (error.code, error.param) == ("dataset_truncated", "x")


def test_an_array_over_the_limit_is_refused(read):
    with pytest.raises(TooLargeError) as caught:
        read(x=np.zeros((100, 100)), limits=ReadLimits(max_unpacked_bytes=1000))
    assert caught.value.code == "archive_too_large"


def test_a_member_that_unpacks_to_more_than_it_states_is_refused(read, pictures):
    data = bytearray(pictures({"x.npy": b"\0" * 100_000}))
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.index(signature) + offset
        data[at : at + 4] = struct.pack("<I", 10)
    with pytest.raises(InvalidError):
        read(bytes(data))


def test_too_many_rows_are_refused(read):
    limits = ReadLimits(max_unpacked_bytes=1 << 20, max_rows=3)
    assert refused(read, x=X, limits=limits).code == "too_many_rows"


@pytest.mark.parametrize("format", ["parquet2", "xml"])
def test_a_format_nobody_reads_is_refused(read, pack, format):
    with pytest.raises(UnsupportedError) as caught:
        read(pack(x=X), format=format)
    assert caught.value.code == "format_unsupported"


def test_a_single_npy_is_refused_with_what_to_do(read):
    stream = io.BytesIO()
    np.save(stream, X)
    error = refused(read, stream.getvalue(), filename="x.npy")
    assert "np.savez" in error.message
