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


def test_a_stretch_beyond_the_end_has_none(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    with pytest.raises(EOFError):
        crc.crc_of(tmp_path / "file", 1, 3)
