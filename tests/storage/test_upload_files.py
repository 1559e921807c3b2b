"""Parts on the disk: the checksum of the whole is right in whatever order they came and came again."""

from __future__ import annotations

import contextlib
import hashlib
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmaas_server.errors import InvalidError
from lmaas_server.storage import Artifacts
from lmaas_server.storage.part_marks import Mark
from lmaas_server.storage.uploads import UploadFiles, UploadRecord

DATA = bytes(range(256)) * 5
SIZE = 256


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def files(tmp_path):
    return UploadFiles(Artifacts(tmp_path))


def begun(files, id="up-1", data=DATA):
    return files.add(
        UploadRecord(id=id, filename="f", bytes=len(data), part_bytes=SIZE, fields={}, created_at=0.0, expires_at=9.0)
    )


def put(files, record, number, data=DATA):
    piece = data[(number - 1) * SIZE : number * SIZE]
    return files.write(record, number, [piece[:100], piece[100:]], mark=Mark(sha(piece)))


def put_so_far(files, record, number, *, piece=None, data=DATA):
    mark = Mark.of_file_so_far(sha(data[: number * SIZE]))
    return files.write(record, number, [piece or data[(number - 1) * SIZE : number * SIZE]], mark=mark)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations([1, 2, 3, 4, 5]), again=st.lists(st.integers(1, 5), max_size=3))
def test_the_checksum_of_the_whole_knows_no_order_of_parts(files, order, again):
    record = begun(files)
    for number in (*order, *again):
        put(files, record, number)
    assert files.whole(record)[1] == sha(DATA)
    files.delete(record.id)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations([1, 2, 3, 4, 5]), again=st.sets(st.integers(1, 5)), so_far=st.booleans())
def test_the_crcs_of_an_archive_are_those_of_the_parts_that_counted(files, order, again, so_far):
    whole, other = b"PK" + DATA[2:-100], b"PK" + DATA[::-1][2:-100]
    record = begun(files, data=whole)
    for number in () if so_far else again:  # what a part makes of the file is asked once all before it are right
        put(files, record, number, other)
    for number in order:
        if so_far:
            put_so_far(files, record, number, data=whole)
        else:
            put(files, record, number, whole)
    ends = [256, 512, 768, 1024, 1180]
    assert files.whole(record)[2] == [(end, zlib.crc32(whole[:end])) for end in ends]
    files.delete(record.id)


def test_what_is_no_archive_has_no_crcs(files):
    record = begun(files)
    for number in range(1, 6):
        put(files, record, number)
    assert files.whole(record)[2] == []


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


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations([1, 2, 3, 4, 5]), wrong=st.sets(st.integers(1, 5)), again=st.permutations([1, 2, 3, 4, 5]))
def test_parts_that_are_not_what_they_said_are_missing_and_the_others_stay(files, order, wrong, again):
    record = begun(files)
    for number in order:
        with contextlib.suppress(InvalidError):
            put_so_far(files, record, number, piece=b"z" * SIZE if number in wrong else None)
    for _ in wrong:  # of what is wrong the first is found, and the next once that is right
        here = {part.number for part in files.arrived(record)}
        missing = {1, 2, 3, 4, 5} - here
        assert missing <= wrong
        if not missing:
            assert files.whole(record)[1] is None
        for number in [each for each in again if each not in {part.number for part in files.arrived(record)}]:
            put_so_far(files, record, number)
    assert files.whole(record)[1] == sha(DATA)
    files.delete(record.id)


@pytest.mark.parametrize("follower", [1, 2])
def test_a_wrong_part_is_found_whichever_process_it_came_to(files, tmp_path, follower):
    record, other = begun(files), UploadFiles(Artifacts(tmp_path))
    first, second = (files, other) if follower == 1 else (other, files)
    put_so_far(first, record, 1)
    put_so_far(second, record, 2, piece=b"z" * SIZE)
    for number in (3, 4, 5):
        put_so_far(second, record, number)
    assert second.whole(record)[1] is None
    assert [part.number for part in files.arrived(record)] == [1, 3, 4, 5]
    put_so_far(second, record, 2)
    assert first.whole(record)[1] == second.whole(record)[1] == sha(DATA)


def test_a_part_that_came_anew_after_it_was_taken_in_elsewhere_is_looked_at_again(files, tmp_path):
    record, other = begun(files), UploadFiles(Artifacts(tmp_path))
    for number in range(1, 6):
        put_so_far(files, record, number)
    put(other, record, 3, DATA[::-1])
    put_so_far(other, record, 3, piece=b"z" * SIZE)
    assert files.whole(record)[1] is None
    assert [part.number for part in files.arrived(record)] == [1, 2, 4, 5]


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
