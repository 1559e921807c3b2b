"""A body on its way from the loop to a thread: all of it in order, no more ahead than a bound, no copies."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable

import pytest
from flask import Request
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.http.bodies import next_of
from lmaas_server.http.bridge import Inflow

MIB = 2**20


class Sent:
    """A body that comes in these pieces, and then an empty one."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.left = [b"", *reversed(pieces)]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        return self.left.pop()


def read_by(reader: Callable[[Inflow], object], pieces: list[bytes]):
    """Read a body in a thread while the loop brings it."""

    async def run() -> object:
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.run_in_executor(None, reader, Inflow(Sent(pieces), loop)), 10)

    return asyncio.run(run())


pieces_of = st.lists(st.binary(min_size=1, max_size=40), max_size=12)


@given(pieces=pieces_of, size=st.integers(1, 50))
def test_reads_of_any_size_give_what_was_sent(pieces, size):
    found = read_by(lambda inflow: list(iter(lambda: inflow.read(size), b"")), pieces)
    assert b"".join(found) == b"".join(pieces)
    assert all(len(block) == size for block in found[:-1])


@given(pieces=pieces_of, size=st.integers(1, 50))
def test_a_read_of_what_comes_next_ends_where_a_piece_ends(pieces, size):
    found = read_by(lambda inflow: list(iter(lambda: inflow.read1(size), b"")), pieces)
    assert found == [piece[at : at + size] for piece in pieces for at in range(0, len(piece), size)]


@pytest.mark.parametrize("read", [Inflow.read, Inflow.read1])
def test_a_piece_that_is_asked_for_whole_is_not_copied(read):
    piece = os.urandom(3 * MIB)
    assert read_by(lambda inflow: read(inflow, len(piece)), [piece]) is piece


def test_everything_is_read_where_no_size_is_given():
    assert read_by(lambda inflow: inflow.read(), [b"x" * MIB] * 5) == b"x" * 5 * MIB


def test_no_more_is_taken_ahead_than_a_bound():
    async def run() -> int:
        loop, body = asyncio.get_running_loop(), Sent([b"x" * 65536] * 100)
        inflow = Inflow(body, loop)
        await loop.run_in_executor(None, inflow.read1, 1)
        for _ in range(200):
            await asyncio.sleep(0)
        inflow.stop()
        return len(body.left) - 1

    assert 100 - asyncio.run(run()) <= MIB // 65536 + 1


class Slow(Sent):
    """A client that sends a little and then nothing until it is told to."""

    def __init__(self, told: asyncio.Event) -> None:
        super().__init__([b"a", b"b"])
        self.told = told

    async def __anext__(self) -> bytes:
        if len(self.left) == 1:
            await self.told.wait()
        return self.left.pop()


def test_a_read_is_answered_as_soon_as_so_much_is_there():
    """Though the body goes on, and there is little."""

    async def run() -> bytes:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        inflow = Inflow(Slow(told), loop)
        try:
            return await asyncio.wait_for(loop.run_in_executor(None, inflow.read, 2), 10)
        finally:
            told.set()

    assert asyncio.run(run()) == b"ab"


def test_a_source_that_does_not_tell_its_pieces_is_read_in_blocks():
    class Plain:
        read = io.BytesIO(b"x" * 3 * MIB).read

    read = next_of(Request({"wsgi.input": Plain()}))
    assert [len(read(10 * MIB)) for _ in range(4)] == [MIB, MIB, MIB, 0]
