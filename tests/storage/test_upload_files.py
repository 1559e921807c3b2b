"""Parts on the disk: the checksum of the whole is right in whatever order they came and came again."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmaas_server.storage import Artifacts
from lmaas_server.storage.uploads import UploadFiles, UploadRecord

DATA = bytes(range(256)) * 5
SIZE = 256


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def files(tmp_path):
    return UploadFiles(Artifacts(tmp_path))


def begun(files, id="up-1"):
    return files.add(
        UploadRecord(id=id, filename="f", bytes=len(DATA), part_bytes=SIZE, fields={}, created_at=0.0, expires_at=9.0)
    )


def put(files, record, number, data=DATA):
    piece = data[(number - 1) * SIZE : number * SIZE]
    return files.write(record, number, [piece[:100], piece[100:]], expected=sha(piece))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations([1, 2, 3, 4, 5]), again=st.lists(st.integers(1, 5), max_size=3))
def test_the_checksum_of_the_whole_knows_no_order_of_parts(files, order, again):
    record = begun(files)
    for number in (*order, *again):
        put(files, record, number)
    assert files.whole(record)[1] == sha(DATA)
    files.delete(record.id)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changed=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_a_part_sent_anew_with_other_bytes_counts_as_it_came_last(files, changed):
    record, other = begun(files), DATA[::-1]
    for number in range(1, 6):
        put(files, record, number)
    for number in changed:
        put(files, record, number, other)
    expected = bytearray(DATA)
    for number in changed:
        expected[(number - 1) * SIZE : number * SIZE] = other[(number - 1) * SIZE : number * SIZE]
    assert files.whole(record)[1] == sha(bytes(expected))
    files.delete(record.id)


def test_two_processes_over_one_upload_find_the_same_checksum(files, tmp_path):
    record, other = begun(files), UploadFiles(Artifacts(tmp_path))
    for number in range(1, 6):
        put(files if number % 2 else other, record, number)
    assert files.whole(record)[1] == other.whole(record)[1] == sha(DATA)


def test_a_checksum_that_was_followed_ends_with_its_upload(files, tmp_path):
    record, other = begun(files), UploadFiles(Artifacts(tmp_path))
    put(files, record, 1)
    other.delete(record.id)
    put(files, begun(files, "up-2"), 1)
    assert list(files._digests) == ["up-2"]
