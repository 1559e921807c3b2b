"""Large files from the client: parts side by side, only the missing ones again, the same bytes in the end."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading

import pytest

import lmaas
from lmaas._request import Slice
from lmaas.testing import MockServer

ROWS = b"a,b,label\n" + b"".join(b"%d,%d,%s\n" % (n, n % 7, b"yx"[n % 2 :][:1]) for n in range(30_000))
SHA256 = hashlib.sha256(ROWS).hexdigest()
PART = 64 * 1024
PARTS = -(-len(ROWS) // PART)


class Cutting:
    """Passes bytes on to a server; cuts the connection in the middle of the bodies it is told to cut.

    Of the part `spoiled` it changes a byte instead, as often as `times` says.
    """

    def __init__(self, url: str, *, cuts: int = 0, after: int = 0, spoiled: int = 0, times: int = 1) -> None:
        self.spoiled, self.times = spoiled, times
        self.server = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self.cuts, self.after, self.parts, self.lock = cuts, after, [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self) -> None:
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(self.server)
            for ends in ((near, far, True), (far, near, False)):
                threading.Thread(target=self.carry, args=ends, daemon=True).start()

    def carry(self, source: socket.socket, sink: socket.socket, request: bool) -> None:
        spoiling = False
        try:
            while data := source.recv(16384):
                if request and b"PUT /v1/uploads/" in data:
                    if self.cut(data):
                        sink.sendall(data[: len(data) // 2])
                        break
                    spoiling = self.spoils(data)
                elif spoiling:
                    data, spoiling = bytes([data[0] ^ 1]) + data[1:], False
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        source.close()

    def cut(self, data: bytes) -> bool:
        with self.lock:
            self.parts.append(int(data.split(b"/parts/")[1].split(b"?")[0]))
            if len(self.parts) <= self.after or not self.cuts:
                return False
            self.cuts -= 1
            return True

    def spoils(self, data: bytes) -> bool:
        with self.lock:
            spoils = b"/parts/%d?" % self.spoiled in data and self.times > 0
            self.times -= spoils
            return spoils


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("lmaas.resources.datasets.PARTS_ABOVE", PART)
    with MockServer(prewarm=False, upload_part_kb=PART // 1024) as running:
        yield running


@pytest.fixture
def path(tmp_path):
    (tmp_path / "rows.csv").write_bytes(ROWS)
    return tmp_path / "rows.csv"


@pytest.fixture
def cutting(server):
    made = []

    def make(**how) -> Cutting:
        made.append(Cutting(server.url, **how))
        return made[-1]

    yield make
    for each in made:
        each.listener.shutdown(socket.SHUT_RDWR)
        each.thread.join(5)
        each.listener.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("lmaas._retry.FIRST_DELAY", 0.01)


def test_a_large_file_arrives_as_it_was_and_progress_ends_at_its_size(server, path):
    seen: list[tuple[int, int]] = []
    with server.client() as client:
        made = client.datasets.create(path, target="label", on_progress=lambda *at: seen.append(at))
        assert (made.sha256, made.rows, made.name) == (SHA256, 30_000, "rows")
        assert client.datasets.content(made) == ROWS
    assert (len(seen), seen[-1]) == (PARTS, (len(ROWS), len(ROWS)))
    assert seen == sorted(seen)


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
def test_the_async_client_sends_parts_too(server, path, transport):
    async def send() -> str:
        async with server.async_client(transport=transport) as client:
            return (await client.datasets.create(path, target="label")).sha256

    assert asyncio.run(send()) == SHA256


def test_bytes_in_memory_go_in_parts_as_files_do(server):
    with server.client() as client:
        assert client.datasets.create(ROWS, format="csv", target="label").sha256 == SHA256


def test_a_connection_cut_in_mid_part_costs_that_part_alone(server, path, cutting):
    proxy = cutting(cuts=2, after=1)
    with server.client(base_url=proxy.url) as client:
        assert client.datasets.create(path, target="label").sha256 == SHA256
    assert len(proxy.parts) == PARTS + 2
    assert set(proxy.parts) == {*range(1, PARTS + 1)}


def test_a_call_that_failed_goes_on_with_the_missing_parts_under_its_key(server, path, cutting):
    proxy = cutting(cuts=99, after=3)
    with server.client(base_url=proxy.url, max_retries=0) as client:
        with pytest.raises(lmaas.APIConnectionError) as raised:
            client.datasets.create(path, target="label", idempotency_key="large")
        assert "idempotency_key='large'" in raised.value.__notes__[0]
        sent, proxy.cuts, proxy.parts = set(proxy.parts[:3]), 0, []
        seen: list[int] = []
        made = client.datasets.create(
            path, target="label", idempotency_key="large", on_progress=lambda done, _: seen.append(done)
        )
    assert made.sha256 == SHA256
    assert len(proxy.parts) < PARTS
    assert seen[-1] == len(ROWS)
    assert not sent & set(proxy.parts) or len(proxy.parts) < PARTS


@pytest.mark.parametrize("spoiled", [1, 3, PARTS])
def test_a_part_that_arrives_as_another_is_sent_again_and_no_other(server, path, cutting, spoiled):
    proxy = cutting(spoiled=spoiled)
    with server.client(base_url=proxy.url) as client:
        assert client.datasets.create(path, target="label").sha256 == SHA256
    assert sorted(proxy.parts) == sorted([*range(1, PARTS + 1), spoiled])


def test_a_part_that_never_arrives_as_it_was_sent_is_named(server, path, cutting):
    proxy = cutting(spoiled=3, times=99)
    with server.client(base_url=proxy.url) as client, pytest.raises(lmaas.ConflictError, match="parts: 3"):
        client.datasets.create(path, target="label")


def test_the_same_call_again_sends_nothing_again(server, path, cutting):
    proxy = cutting()
    with server.client(base_url=proxy.url) as client:
        first = client.datasets.create(path, target="label", idempotency_key="once")
        proxy.parts.clear()
        assert client.datasets.create(path, target="label", idempotency_key="once") == first
    assert proxy.parts == []


def test_a_bad_row_is_named_and_the_parts_are_removed(server, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_bytes(ROWS + b"1,2,3,4,5\n")
    with server.client() as client, pytest.raises(lmaas.UnprocessableEntityError, match="row 30,000 of bad"):
        client.datasets.create(bad, target="label")
    assert list((server._server.artifacts.root / "uploads").iterdir()) == []


def test_a_slice_is_the_bytes_it_names_from_a_file_as_from_memory(path):
    for start, size in ((0, 10), (5, PART), (len(ROWS) - 3, 3)):
        pieces = [b"".join(Slice(source, start, size).blocks()) for source in (path, ROWS)]
        assert pieces == [ROWS[start : start + size]] * 2
        for source in (path, ROWS):
            digest = hashlib.sha256()
            Slice(source, start, size).feed(digest)
            assert digest.digest() == hashlib.sha256(pieces[0]).digest()


def test_a_file_that_shrinks_while_it_is_sent_is_an_error(path):
    with pytest.raises(OSError, match="has shrunk"):
        list(Slice(path, len(ROWS) - 1, 2).blocks())
    with pytest.raises(OSError, match="has shrunk"):
        Slice(path, len(ROWS) - 1, 2).feed(hashlib.sha256())
