"""The checksum of a stretch of a file, whoever took which part of it, is the one zlib takes in one go."""

from __future__ import annotations

import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.engine.data import crc


@given(parts=st.lists(st.binary(max_size=300), max_size=6))
def test_checksums_of_parts_make_that_of_the_whole(parts):
    assert crc.combined((zlib.crc32(part), len(part)) for part in parts) == zlib.crc32(b"".join(parts))


@pytest.mark.parametrize("worth_a_thread", [1, 1000, 1 << 20])
@pytest.mark.parametrize(("at", "size"), [(0, 0), (0, 1), (7, 2001), (0, 5000)])
def test_any_stretch_has_the_checksum_of_its_bytes(tmp_path, monkeypatch, worth_a_thread, at, size):
    monkeypatch.setattr(crc, "_WORTH_A_THREAD", worth_a_thread)
    monkeypatch.setattr(crc, "_BLOCK", 999)
    data = os.urandom(5000)
    (tmp_path / "file").write_bytes(data)
    assert crc.crc_of(tmp_path / "file", at, size) == zlib.crc32(data[at : at + size])


@given(
    data=st.binary(min_size=1, max_size=300),
    ends=st.lists(st.integers(0, 300)),
    stretch=st.tuples(*[st.integers(0, 300)] * 2),
)
def test_what_is_known_of_the_bytes_before_changes_no_checksum(tmp_path_factory, data, ends, stretch):
    path = tmp_path_factory.mktemp("crc") / "file"
    path.write_bytes(data)
    so_far = [(end, zlib.crc32(data[:end])) for end in sorted({min(end, len(data)) for end in ends})]
    at, end = sorted(min(place, len(data)) for place in stretch)
    assert crc.crc_of(path, at, end - at, so_far) == zlib.crc32(data[at:end])


def test_what_is_known_is_not_read_again(tmp_path):
    data = os.urandom(400)
    (tmp_path / "file").write_bytes(
        data[:10] + bytes(280) + data[290:]
    )  # other bytes between the places that are known
    so_far = [(count, zlib.crc32(data[:count])) for count in (100, 200, 300)]
    assert crc.crc_of(tmp_path / "file", 10, 385, so_far) == zlib.crc32(data[10:395])


@pytest.mark.parametrize("so_far", [(), [(2, zlib.crc32(b"ab"))]])
def test_a_stretch_beyond_the_end_has_none(tmp_path, so_far):
    (tmp_path / "file").write_bytes(b"abc")
    with pytest.raises(EOFError):
        crc.crc_of(tmp_path / "file", 1, 3, so_far)
