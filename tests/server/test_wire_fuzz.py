"""Any requests one behind the other, cut anywhere, are read as they were written; any bytes are survived."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.http.wire import Connection


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def get_extra_info(self, name):
        return ("127.0.0.1", 1)

    def write(self, data):
        assert not self.closed
        self.written += data

    def is_closing(self):
        return self.closed

    def can_write_eof(self):
        return False

    def close(self):
        self.closed = True

    abort = close

    def pause_reading(self):
        pass

    resume_reading = pause_reading


@pytest.fixture(scope="module")
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


def heard(loop, pieces):
    """What the application hears of what a client sends, and the wire afterwards."""
    asked, wire = [], Wire()

    def answer(exchange):
        def whole(body):
            if not (exchange._broken or connection.gone):
                asked.append((exchange.head.method, exchange.head.path, body))
            exchange.answer(200, [], body)

        exchange.when_whole(whole)

    connection = Connection(loop, answer, lambda _: None)
    connection.connection_made(wire)
    for piece in pieces:
        if not wire.closed:
            connection.data_received(piece)
    connection.connection_lost(None)
    return asked, wire


def plain(path: str, body: bytes) -> bytes:
    return f"POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def in_chunks(path: str, body: bytes, size: int, trailer: bytes) -> bytes:
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(body[at : at + size]), body[at : at + size]) for at in range(0, len(body), size)
    )
    return f"POST /{path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + (
        chunks + b"0\r\n" + trailer + b"\r\n"
    )


PATHS = st.text("abc", min_size=1, max_size=3)
BODIES = st.binary(max_size=60) | st.sampled_from([b"\r\n\r\n", b"0\r\n\r\n", plain("hidden", b"x")])
REQUESTS = st.one_of(
    st.tuples(PATHS, BODIES).map(lambda made: (*made, plain(*made))),
    st.tuples(PATHS, BODIES, st.integers(1, 20), st.sampled_from([b"", b"X-T: 1\r\n"])).map(
        lambda made: (made[0], made[1], in_chunks(*made))
    ),
)


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(raw) + 1) for place in places} | {0, len(raw)})
    return [raw[first:last] for first, last in pairwise(ends)]


PLACES = st.lists(st.integers(0, 10_000), max_size=12)


@given(requests=st.lists(REQUESTS, min_size=1, max_size=5), places=PLACES)
def test_requests_are_read_as_they_were_written_wherever_they_are_cut(loop, requests, places):
    asked, wire = heard(loop, cut(b"".join(raw for *_, raw in requests), places))
    assert asked == [("POST", f"/{path}", body) for path, body, _ in requests]
    reader = h11.Connection(h11.CLIENT)
    for path, body, _ in requests:
        reader.send(h11.Request(method="POST", target=f"/{path}", headers=[("Host", "x")]))
        reader.send(h11.EndOfMessage())
        reader.receive_data(wire.written)
        wire.written = b""
        said = b""
        assert reader.next_event().status_code == 200
        while isinstance(event := reader.next_event(), h11.Data):
            said += event.data
        assert said == body
        reader.start_next_cycle()


def read_by_h11(raw: bytes):
    """The methods and bodies of the requests that another reader finds, up to where it finds none."""
    found, server = [], h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    server.receive_data(raw)
    try:
        while isinstance(head := server.next_event(), h11.Request):
            body = b""
            while isinstance(event := server.next_event(), h11.Data):
                body += event.data
            if not isinstance(event, h11.EndOfMessage):
                break
            found.append((head.method.decode(), body))
            server.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
            server.send(h11.EndOfMessage())
            server.start_next_cycle()
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        pass
    return found


@given(requests=st.lists(REQUESTS, min_size=1, max_size=3), places=PLACES, spoiled=PLACES, junk=st.binary(max_size=8))
def test_spoiled_bytes_hide_no_request_that_another_reader_does_not_find(loop, requests, places, spoiled, junk):
    raw = b"".join(raw for *_, raw in requests)
    for place in spoiled:
        at = place % len(raw)
        raw = raw[:at] + junk + raw[at + 1 :]
    asked, _ = heard(loop, cut(raw, places))
    theirs = read_by_h11(raw)
    assert [(method, body) for method, _, body in asked][: len(theirs)] == theirs[: len(asked)]
