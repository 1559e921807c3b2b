"""Whatever bytes arrive, the reader answers with rows or with a ServiceError, and with nothing else."""

from __future__ import annotations

import contextlib
import io
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lmaas_server.engine.data.examples import Examples, ReadLimits
from lmaas_server.engine.data.reader import read_dataset, rows_from_json
from lmaas_server.errors import ServiceError

LIMITS = ReadLimits(max_unpacked_bytes=8 << 20)
SOMETIMES = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def an_npz() -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, x=np.arange(60, dtype=np.float32).reshape(12, 5), y=np.arange(12) % 3)
    return stream.getvalue()


def a_zip() -> bytes:
    stream, picture = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (9, 7), (1, 2, 3)).save(picture, format="PNG")
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("cat/1.png", "dog/1.png"):
            archive.writestr(name, picture.getvalue())
    return stream.getvalue()


def a_raw_npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=np.arange(60, dtype=np.uint8).reshape(12, 5), y=np.array(["a", "bc"] * 6))
    return stream.getvalue()


def answers(path, data: bytes, **fields) -> None:
    path.write_bytes(data)
    with contextlib.suppress(ServiceError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of damaged EXIF
        assert isinstance(read_dataset(path, limits=LIMITS, **fields), Examples)


@SOMETIMES
@given(data=st.binary(max_size=400), name=st.sampled_from(["a.npz", "a.zip", "a"]))
def test_random_bytes_never_break_the_reader(tmp_path, data, name):
    answers(tmp_path / "f", data, filename=name)


@pytest.mark.parametrize(("seed", "name"), [(an_npz(), "a.npz"), (a_raw_npz(), "a.npz"), (a_zip(), "a.zip")])
@SOMETIMES
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6), cut=st.floats(0, 1)
)
def test_mutated_archives_never_break_the_reader(tmp_path, seed, name, changes, cut):
    data = bytearray(seed)
    for place, value in changes:
        data[int(place * len(data))] = value
    answers(tmp_path / "f", bytes(data[: int(len(data) * cut)] if cut < 0.5 else data), filename=name)


@SOMETIMES
@given(header=st.binary(max_size=80) | st.text(max_size=60).map(str.encode), body=st.binary(max_size=40))
def test_invented_npy_headers_never_break_the_reader(tmp_path, header, body):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body)
    answers(tmp_path / "f", stream.getvalue(), filename="a.npz")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=12,
)


@pytest.mark.parametrize("shape", [{"kind": "tensor", "shape": [2]}, {"kind": "image", "shape": [2, 2, 1]}])
@SOMETIMES
@given(rows=st.lists(JSON, max_size=5))
def test_any_json_gives_one_row_or_error_each(shape, rows):
    array, errors = rows_from_json([*rows], shape)
    assert len(array) == len(rows)
    assert set(errors) <= set(range(len(rows)))
    assert np.isfinite(array).all()
