"""Telling the system to write early changes nothing that can be read, whatever it is told."""

from __future__ import annotations

import os

import pytest

from lmaas_server.storage import writeback


@pytest.fixture(params=["as here", "no such call"])
def system(request, monkeypatch):
    if request.param == "no such call":
        monkeypatch.setattr(writeback.sys, "platform", "another")
    writeback._call.cache_clear()
    yield
    writeback._call.cache_clear()


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize(("at", "count"), [(0, 6), (3, 1 << 40), (-1, -1)])
def test_the_file_stays_as_it_was(tmp_path, at, count):
    path = tmp_path / "file"
    with path.open("wb", buffering=0) as file:
        file.write(b"abcdef")
        writeback.begin_writing(file.fileno(), at, count)
        assert (file.tell(), path.read_bytes()) == (6, b"abcdef")


def test_a_file_that_is_not_open_is_nobodys_trouble():
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    writeback.begin_writing(write, 0, 1)  # that it returns is all there is to see
