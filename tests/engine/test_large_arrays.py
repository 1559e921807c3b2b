"""Arrays too large for memory are mapped from the file, and read as small ones are."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lmaas_server.engine.data.examples import ReadLimits
from lmaas_server.errors import InvalidError, TooLargeError

SMALL = ReadLimits(max_unpacked_bytes=64 << 20, max_memory_bytes=64)
X = np.arange(240, dtype=np.float32).reshape(40, 6)


def packed(how=zipfile.ZIP_STORED, **arrays):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array)
            archive.writestr(f"{name}.npy", member.getvalue())
    return stream.getvalue()


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    "x", [X, X.astype(np.uint8), X.astype(">f8"), X.astype(np.int16), np.asfortranarray(X)], ids=lambda x: str(x.dtype)
)
def test_a_large_array_is_read_as_a_small_one(read, how, x):
    data = packed(how, x=x, y=np.arange(40))
    large, small = read(data, limits=SMALL), read(data)
    assert np.array_equal(large.inputs, small.inputs)
    assert large.inputs.dtype == small.inputs.dtype
    assert large.inputs.flags.c_contiguous
    assert np.array_equal(large.targets, small.targets)
    assert (large.input, large.target) == (small.input, small.target)


def test_writing_to_what_was_mapped_leaves_the_file_as_it_is(read, tmp_path):
    data = packed(x=X)
    read(data, limits=SMALL).inputs[:] = 7
    assert (tmp_path / "upload").read_bytes() == data


def test_a_flipped_bit_in_a_large_array_is_found(read):
    data = bytearray(packed(x=X))
    data[len(data) // 2] ^= 1
    with pytest.raises(InvalidError) as caught:
        read(bytes(data), limits=SMALL)
    assert caught.value.code == "dataset_truncated"


@pytest.mark.parametrize(
    ("change", "code"), [(lambda npy: npy + b"more", "archive_bomb"), (lambda npy: npy[:-1], None)]
)
def test_a_large_array_of_another_size_than_it_says_is_refused(read, change, code):
    member, stream = io.BytesIO(), io.BytesIO()
    np.save(member, X)
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x.npy", change(member.getvalue()))
    with pytest.raises(InvalidError) as caught:
        read(stream.getvalue(), limits=SMALL)
    assert caught.value.code == (code or "dataset_truncated")


def test_a_large_row_that_is_not_finite_is_named(read):
    x = X.copy()
    x[33, 2] = np.nan
    with pytest.raises(InvalidError, match="x row 33"):
        read(packed(x=x), limits=SMALL)


def test_what_a_large_array_becomes_counts_too(read):
    limits = ReadLimits(max_unpacked_bytes=300, max_memory_bytes=64)
    with pytest.raises(TooLargeError) as caught:
        read(packed(x=np.zeros((100, 2), np.int8)), limits=limits)
    assert caught.value.code == "archive_too_large"


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    x=hnp.arrays(
        st.sampled_from(["<f4", ">f4", "<f2", "u1", "i2", "?"]),
        hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=9),
        elements={"allow_nan": False, "allow_infinity": False},
    )
)
def test_any_array_is_the_same_mapped_or_not(read, x):
    data = packed(x=x)
    assert np.array_equal(
        read(data, limits=ReadLimits(max_unpacked_bytes=1 << 20, max_memory_bytes=1)).inputs, read(data).inputs
    )
