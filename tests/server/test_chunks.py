"""Bodies in chunks: all of them wherever they are cut, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.http.chunks import BadChunkError, Chunks


def sent(pieces: list[bytes], *, said: bytes = b"", trailer: bytes = b"") -> bytes:
    return b"".join(b"%x%b\r\n%b\r\n" % (len(piece), said, piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"


def read(raw: bytes, *, step: int) -> tuple[bytes, bytes, bool]:
    """The body, what was left behind it, and whether it has ended."""
    chunks, found = Chunks(), b""
    for at in range(0, len(raw), step):
        pieces, rest = chunks.feed(raw[at : at + step])
        found += b"".join(pieces)
        if chunks.ended:
            return found, rest + raw[at + step :], True
        assert not rest
    return found, b"", chunks.ended


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.integers(1, 60), st.binary(max_size=20))
def test_a_body_is_read_wherever_it_is_cut(pieces, step, behind):
    raw = sent(pieces, said=b";a=b", trailer=b"X-Sum: 1\r\n") + behind
    assert read(raw, step=step) == (b"".join(pieces), behind, True)


@pytest.mark.parametrize("step", [1, 3, 100])
@pytest.mark.parametrize(
    "raw",
    [b"x\r\n", b"-1\r\n", b"+1\r\na\r\n", b"0x1\r\na\r\n", b"1\r\nab\r\n", b"\r\n", b"1 2\r\n", b"f" * 16 + b"\r\n"],
)
def test_what_is_no_chunk_is_refused(raw, step):
    with pytest.raises(BadChunkError):
        read(raw, step=step)


@pytest.mark.parametrize("raw", [b"1;" + b"a" * 10_000, b"0\r\n" + b"a: b\r\n" * 10_000])
def test_what_stands_beside_chunks_is_bounded(raw):
    with pytest.raises(BadChunkError):
        read(raw, step=1000)
