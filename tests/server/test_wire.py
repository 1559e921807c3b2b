"""HTTP/1.1 on a connection, without an application: who may say what when, and what becomes of the rest."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import contextmanager, suppress

import pytest

from lmaas_server.http import listener
from lmaas_server.http.listener import Listener

MIB = 2**20
PLAIN = [("content-type", "text/plain")]


class Echo:
    """Answers with what was asked: the method, the path and the body."""

    def __init__(self) -> None:
        self.asked = []
        self.let_go = threading.Event()

    def __call__(self, exchange):
        self.asked.append(exchange)
        match exchange.head.path:
            case "/early":
                exchange.answer(413, PLAIN, b"too large")
            case "/slow":
                threading.Thread(target=lambda: (self.let_go.wait(10), exchange.answer(200, PLAIN, b"late"))).start()
            case "/stream":
                threading.Thread(target=self.stream, args=[exchange]).start()
            case "/fails":
                exchange.fail()
            case _:
                said = f"{exchange.head.method} {exchange.head.path} ".encode()
                exchange.when_whole(lambda body: exchange.answer(200, PLAIN, said + body))

    def stream(self, exchange):
        exchange.begin(200, PLAIN)
        for piece in (b"one", b"", b"two"):
            exchange.send(piece)
        exchange.finish()


class Running:
    """A listener on a loop in a thread."""

    def __init__(self, answer, most: int = 100) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.answer = answer
        self.most = most
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.ready = threading.Event()
        self.thread.start()
        self.ready.wait(10)

    async def _serve(self) -> None:
        self.loop, ended = asyncio.get_running_loop(), asyncio.Event()
        self.listener = Listener(self.listening, self.answer, most=self.most, ended=ended.set)
        self.listener.open(self.loop)
        self.ready.set()
        await ended.wait()

    def drain(self) -> None:
        with suppress(RuntimeError):  # it has ended
            self.loop.call_soon_threadsafe(self.listener.drain)

    @contextmanager
    def connected(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            yield connection


@pytest.fixture
def echo():
    return Echo()


@pytest.fixture
def running(echo):
    made = Running(echo)
    yield made
    echo.let_go.set()
    made.drain()
    made.thread.join(10)
    assert not made.thread.is_alive()


def request(path: str = "/a", body: bytes = b"", *fields: str, method: str = "POST", version: str = "1.1") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: x", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answers(connection) -> bytes:
    """All that comes until the server ends the connection."""
    return b"".join(iter(lambda: connection.recv(MIB), b""))


def asked(running, raw: bytes, *, ends: bool = True) -> bytes:
    with running.connected() as connection:
        connection.sendall(raw)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        return answers(connection)


def bodies(said: bytes) -> list[bytes]:
    return [part.partition(b"\r\n\r\n")[2] for part in said.split(b"HTTP/1.1 ")[1:]]


def test_requests_one_behind_the_other_are_answered_in_order(running):
    said = asked(running, request("/a", b"x") + request("/b", b"yy") + b"\r\n" + request("/c"))
    assert bodies(said) == [b"POST /a x", b"POST /b yy", b"POST /c "]


def test_a_request_is_the_same_however_it_is_cut(running):
    raw = request("/a", b"x") + request("/b", b"12", "Expect: 100-continue")
    with running.connected() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(raw)):
            connection.sendall(raw[at : at + 1])
        connection.shutdown(socket.SHUT_WR)
        said = answers(connection)
    assert [body for body in bodies(said) if body] == [b"POST /a x", b"POST /b 12"]


def test_what_comes_ahead_waits_for_the_answer_before(running, echo):
    with running.connected() as connection:
        connection.sendall(request("/slow") + request("/b") + request("/c"))
        with running.connected() as other:
            other.sendall(request("/d", b"", "Connection: close"))
            answers(other)
        assert [exchange.head.path for exchange in echo.asked] == ["/slow", "/d"]
        echo.let_go.set()
        connection.shutdown(socket.SHUT_WR)
        assert bodies(answers(connection)) == [b"late", b"POST /b ", b"POST /c "]


@pytest.mark.parametrize("last", [request("/b", b"", "Connection: close"), request("/b", version="1.0")])
def test_a_connection_ends_where_the_client_wants_it(running, last):
    said = asked(running, request() + last + request("/c"), ends=False)
    assert bodies(said) == [b"POST /a ", b"POST /b "]
    assert said.count(b"connection: close") == 1


def test_a_client_that_offers_another_protocol_is_answered_in_this_one(running):
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
    assert bodies(asked(running, request("/a", b"xyz", *offer) + request("/b"))) == [b"POST /a xyz", b"POST /b "]


def test_a_body_in_chunks_is_one_body(running):
    head = request("/a", b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    said = asked(running, head + b"3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n" + request("/b"))
    assert bodies(said) == [b"POST /a abcde", b"POST /b "]


def test_a_body_that_breaks_off_is_answered_and_the_connection_ends(running):
    assert bodies(asked(running, request("/a", b"xyz")[:-1])) == [b"POST /a xy"]
    head = request("/a", b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    said = asked(running, head + b"no chunk\r\n" + request("/b"), ends=False)
    assert bodies(said) == [b"POST /a "]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"junk\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\0\x01\0\r\n\r\n", b"400"),
        (request("/a", b"", "Transfer-Encoding: chunked"), b"400"),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 70_000, b"431"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
    ],
)
def test_what_is_no_request_is_refused_and_nothing_after_it_is_read(running, echo, raw, status):
    said = asked(running, raw + request())
    assert said.split(b" ")[1] == status
    assert said.count(b"connection: close") == 1
    assert echo.asked == []


def test_who_asks_before_sending_is_asked_to_send_once_the_body_is_wanted(running):
    with running.connected() as connection:
        connection.sendall(request("/a", b"xy", "Expect: 100-continue")[:-2])
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"xy")
        connection.shutdown(socket.SHUT_WR)
        assert bodies(answers(connection)) == [b"POST /a xy"]


def test_who_asks_before_sending_and_is_refused_sends_nothing(running):
    with running.connected() as connection:
        connection.sendall(request("/early", b"x" * MIB, "Expect: 100-continue")[:-MIB])
        said = answers(connection)
    assert said.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in said


def test_who_is_refused_in_the_middle_of_a_long_body_sees_the_answer(running):
    with running.connected() as connection:
        connection.sendall(request("/early", b"x" * (64 * MIB))[: 8 * MIB])
        assert b"413" in answers(connection)


def test_a_connection_goes_on_after_a_refusal_whose_body_was_short(running):
    raw = request("/early", b"x" * 1000)
    with running.connected() as connection:
        connection.sendall(raw[:-500])
        assert b"413" in connection.recv(1000)
        connection.sendall(raw[-500:] + request("/b"))
        connection.shutdown(socket.SHUT_WR)
        assert bodies(answers(connection)) == [b"POST /b "]


def test_an_answer_in_pieces_is_in_chunks_and_for_the_first_version_it_is_not(running):
    assert bodies(asked(running, request("/stream"))) == [b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"]
    old = asked(running, request("/stream", version="1.0"), ends=False)
    assert bodies(old) == [b"onetwo"]
    assert b"chunked" not in old


def test_head_is_answered_without_the_body(running):
    assert bodies(asked(running, request(method="HEAD") + request("/b"))) == [b"", b"POST /b "]


def test_who_fails_is_told_so(running):
    assert asked(running, request("/fails")).startswith(b"HTTP/1.1 500 ")


def test_a_body_that_nobody_reads_is_not_held_in_memory(running, echo):
    with running.connected() as connection:
        connection.settimeout(0.5)
        sent = 0
        connection.sendall(request("/slow", b"x" * (64 * MIB))[:100])
        with suppress(TimeoutError):
            while sent < 64 * MIB:
                sent += connection.send(b"x" * MIB)
    assert sum(map(len, echo.asked[0]._pieces)) <= 2 * MIB
    assert sent < 32 * MIB


def test_no_more_connections_are_taken_than_allowed(echo):
    running = Running(echo, most=2)
    with running.connected() as one, running.connected() as two, running.connected() as three:
        for connection in (one, two):
            connection.sendall(request())
            assert connection.recv(1000)
        three.sendall(request())
        three.settimeout(0.3)
        with pytest.raises(TimeoutError):
            three.recv(1000)
        one.close()
        three.settimeout(10)
        assert three.recv(1000)
    running.drain()
    running.thread.join(10)


def test_when_all_places_are_taken_the_connection_ends_that_is_idle_the_longest(echo, monkeypatch):
    monkeypatch.setattr(listener, "_SPARED_SECONDS", 0.0)
    running = Running(echo, most=3)
    with running.connected() as idle:
        idle.sendall(request())
        assert idle.recv(1000)
        with running.connected() as busy:
            busy.sendall(request("/slow"))
            with running.connected() as another:
                assert idle.recv(1000) == b""
                another.sendall(request())
                assert another.recv(1000)
                echo.let_go.set()
                assert b"late" in busy.recv(1000)
    running.drain()
    running.thread.join(10)


def test_who_takes_no_answers_is_read_no_further(running, echo):
    with running.connected() as connection:
        connection.settimeout(0.5)
        one, sent = request("/a", b"x" * 60_000), 0
        with suppress(TimeoutError):
            while sent < 128 * MIB:
                sent += connection.send(one * 16)
    assert sent < 64 * MIB


def test_a_request_under_way_is_answered_and_the_others_end(running, echo):
    with running.connected() as busy, running.connected() as idle:
        busy.sendall(request("/slow"))
        idle.sendall(request())
        idle.recv(1000)
        running.drain()
        assert idle.recv(1000) == b""
        echo.let_go.set()
        said = answers(busy)
    assert said.endswith(b"late")
    assert b"connection: close" in said


def test_what_does_not_end_in_time_is_cut(running):
    with running.connected() as busy, running.connected() as idle:
        busy.sendall(request("/slow"))
        idle.sendall(request())
        idle.recv(1000)
        running.drain()
        running.thread.join(0.2)
        assert running.thread.is_alive()
        running.loop.call_soon_threadsafe(running.listener.cut)
        running.thread.join(10)
    assert not running.thread.is_alive()


def test_a_file_is_sent_as_fast_as_the_client_reads(tmp_path):
    file, content = tmp_path / "file", os.urandom(24 * MIB)
    file.write_bytes(content)
    running = Running(lambda exchange: exchange.answer_file(206, PLAIN, file, (5, len(content) - 5)))
    with running.connected() as connection:
        connection.sendall(request())
        head = connection.recv(1000, socket.MSG_PEEK).partition(b"\r\n\r\n")[0]
        (inside,) = running.listener._connections
        assert inside._transport.get_write_buffer_size() < MIB
        connection.shutdown(socket.SHUT_WR)
        said = answers(connection)
    assert f"content-length: {len(content) - 10}".encode() in head
    assert said.partition(b"\r\n\r\n")[2] == content[5:-5]
    running.drain()
    running.thread.join(10)
