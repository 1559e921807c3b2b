"""The async client over either transport: what goes wrong is called the same, and nothing else differs."""

from __future__ import annotations

import asyncio
import gc
import gzip
import shutil
import socket
import ssl
import subprocess
import threading
from base64 import b64encode

import aiohttp
import httpx
import pytest
from sdk_samples import JOB

import lmaas
from lmaas import AsyncLMaaS
from lmaas._httpx import shared_tls_context
from lmaas.testing import MockServer

HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\n"
BODY = httpx.Response(200, json=JOB).content
WHOLE = HEAD + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
CUT = HEAD + b"content-length: 100\r\n\r\n{"
EVENT = (
    b"id: 1\nevent: message\n"
    b'data: {"id": "evt-1", "seq": 1, "type": "message", "message": "m", "data": {}, "created_at": 1}\n\n'
)
STREAM = HEAD + b"content-type: text/event-stream\r\n\r\n"


class Scripted:
    """Answers one connection after another with bytes; holds the last open until the other side closes it."""

    def __init__(self, *scripts: bytes, tls: ssl.SSLContext | None = None) -> None:
        self.scripts, self.tls, self.requests, self.left = scripts, tls, [], threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        for number, script in enumerate(self.scripts, 1):
            try:
                connection = self.listener.accept()[0]
                with self.tls.wrap_socket(connection, server_side=True) if self.tls else connection as talk:
                    talk.settimeout(10)
                    self.requests.append(talk.recv(65536))
                    talk.sendall(script)
                    if number == len(self.scripts) and talk.recv(1) == b"":
                        self.left.set()
            except OSError:
                continue


@pytest.fixture(params=["httpx", "aiohttp"])
def transport(request):
    return request.param


@pytest.fixture
def scripted():
    made = []

    def make(*scripts: bytes, **settings) -> Scripted:
        made.append(Scripted(*scripts, **settings))
        return made[-1]

    yield make
    for server in made:
        server.listener.close()


def heads(server: Scripted) -> str:
    return b"".join(server.requests).decode().lower()


def retrieve(url: str, transport: str, **settings) -> str:
    async def run() -> str:
        async with AsyncLMaaS(base_url=url, transport=transport, **settings) as client:
            return (await client.jobs.retrieve("job-1")).id

    return asyncio.run(run())


def test_a_refused_connection_names_the_address(transport):
    with pytest.raises(lmaas.APIConnectionError, match=r"cannot connect to http://127\.0\.0\.1:1") as raised:
        retrieve("http://127.0.0.1:1", transport, max_retries=0)
    assert not isinstance(raised.value, lmaas.APITimeoutError)


@pytest.mark.parametrize("script", [b"", CUT, b"nonsense\r\n\r\n"], ids=["nothing", "half", "nonsense"])
def test_an_answer_cut_short_is_a_lost_connection(scripted, transport, script):
    lost = pytest.raises(lmaas.APIConnectionError, match=r"the connection was lost|cannot be sent")
    with lost as raised:
        retrieve(scripted(script, script, b"").url, transport, max_retries=0)  # aiohttp itself asks twice
    assert not isinstance(raised.value, lmaas.APITimeoutError)


def test_a_cut_answer_is_asked_for_again(scripted, transport):
    assert retrieve(scripted(b"", WHOLE).url, transport) == "job-1"


def test_a_silent_server_is_a_timeout(scripted, transport):
    with pytest.raises(lmaas.APITimeoutError, match="no answer in time"):
        retrieve(scripted(b"").url, transport, timeout=0.1, max_retries=0)


def test_the_deadline_ends_a_body_that_trickles(scripted, transport):
    with pytest.raises(lmaas.APITimeoutError, match="deadline"):
        retrieve(scripted(CUT).url, transport, deadline=0.2, max_retries=0)


def test_plain_http_behind_https_is_a_failed_connection(scripted, transport):
    with pytest.raises(lmaas.APIConnectionError, match="cannot connect"):
        retrieve(scripted(WHOLE, b"").url.replace("http:", "https:"), transport, max_retries=0)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_a_certificate_is_checked_against_the_trusted_ones(scripted, transport, tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    ask = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=test"
    made = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run([*ask.split(), *made], check=True, capture_output=True)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    with pytest.raises(lmaas.APIConnectionError, match=r"(?i)certificate"):
        retrieve(scripted(b"", tls=served).url, transport, max_retries=0)
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr("lmaas._httpx.shared_tls_context", lambda: trusting)
    assert retrieve(scripted(WHOLE, tls=served).url, transport) == "job-1"
    gc.collect()  # a socket left open would warn here, and a warning is an error


def test_a_proxy_of_the_environment_is_used(scripted, transport, monkeypatch):
    proxy = scripted(WHOLE)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert retrieve("http://models.example", transport) == "job-1"
    assert proxy.requests[0].startswith(b"GET http://models.example/v1/jobs/job-1 HTTP/1.1\r\n")


def test_a_host_the_environment_excepts_is_asked_itself(scripted, transport, monkeypatch):
    server = scripted(WHOLE)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "models.example,127.0.0.1")
    assert retrieve(server.url, transport) == "job-1"


def test_the_name_and_password_of_a_proxy_are_told_to_it(scripted, transport, monkeypatch):
    proxy = scripted(WHOLE)
    monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("http://", "http://me:secret@"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert retrieve("http://models.example", transport) == "job-1"
    assert f"proxy-authorization: Basic {b64encode(b'me:secret').decode()}".lower() in heads(proxy)


def test_the_name_and_password_of_an_address_win_over_the_key(scripted, transport):
    server = scripted(WHOLE)
    assert retrieve(server.url.replace("http://", "http://me:secret@"), transport, api_key="sk-1") == "job-1"
    assert f"authorization: Basic {b64encode(b'me:secret').decode()}".lower() in heads(server)
    assert "bearer" not in heads(server)


def test_a_compressed_answer_is_unpacked_and_headers_that_come_twice_are_joined(scripted, transport):
    packed = gzip.compress(BODY)
    length = b"content-encoding: gzip\r\ncontent-length: %d\r\n" % len(packed)
    server = scripted(HEAD + b"X-Tag: a\r\nx-tag: b\r\n" + length + b"\r\n" + packed)

    async def ask() -> tuple[str, str]:
        async with AsyncLMaaS(base_url=server.url, transport=transport) as client:
            raw = await client.jobs.with_raw_response.retrieve("job-1")
            return raw.parse().id, raw.headers["x-tag"]

    assert asyncio.run(ask()) == ("job-1", "a, b")
    assert "accept-encoding: gzip" in heads(server)


def test_no_cookie_is_kept_and_no_redirect_followed(scripted, transport):
    moved = b"HTTP/1.1 307 Moved\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    server = scripted(WHOLE.replace(HEAD, HEAD + b"set-cookie: seen=1\r\n"), moved, b"")

    async def twice() -> None:
        url = server.url.replace("127.0.0.1", "localhost")  # cookies of bare addresses are kept by nobody
        async with AsyncLMaaS(base_url=url, transport=transport) as client:
            await client.jobs.retrieve("job-1")
            await client.jobs.retrieve("job-1")

    with pytest.raises(lmaas.APIStatusError, match="307"):
        asyncio.run(twice())
    assert [b"cookie" in request.lower() for request in server.requests] == [False, False]


def test_a_large_body_is_sent_without_a_warning(transport):
    rows = [[float(number)] * 1000 for number in range(400)]

    async def ask(server: MockServer) -> None:
        async with server.async_client(transport=transport) as client:
            await client.predict("nobody", rows)

    with MockServer(prewarm=False) as server, pytest.raises(lmaas.NotFoundError):
        asyncio.run(ask(server))


def test_aiohttp_beneath_an_httpx_client_of_the_callers_fails_by_the_same_names():
    def lose(_request: httpx.Request) -> httpx.Response:
        raise aiohttp.ServerDisconnectedError

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(lose)) as http:
            await AsyncLMaaS(base_url="http://test", http_client=http, max_retries=0).jobs.retrieve("job-1")

    with pytest.raises(lmaas.APIConnectionError, match="the connection was lost"):
        asyncio.run(ask())


def test_a_stream_left_early_closes_its_connection(scripted, transport):
    server = scripted(STREAM + EVENT)

    async def leave() -> str:
        client = AsyncLMaaS(base_url=server.url, transport=transport)
        async with client, client.jobs.events("job-1", follow=True) as events:
            return (await anext(aiter(events))).id

    assert asyncio.run(leave()) == "evt-1"
    assert server.left.wait(5)


def test_a_broken_stream_is_taken_up_after_its_last_event(scripted, transport):
    other = EVENT.replace(b"id: 1", b"id: 2").replace(b'"seq": 1', b'"seq": 2')
    server = scripted(STREAM + EVENT, STREAM + other + b"data: [DONE]\n\n")

    async def follow() -> list[int]:
        client = AsyncLMaaS(base_url=server.url, transport=transport)
        async with client, client.jobs.events("job-1", follow=True) as events:
            return [event.seq async for event in events]

    assert asyncio.run(follow()) == [1, 2]
    assert b"last-event-id: 1" in server.requests[1].lower()


def test_one_client_works_on_one_loop_after_another_and_at_many_calls(transport):
    with MockServer(prewarm=False) as server, server.client() as blocking:
        made = blocking.datasets.create([([1.0], "a"), ([2.0], "b")])
        client = server.async_client(transport=transport)

        async def many() -> int:
            found = await asyncio.gather(*(client.datasets.retrieve(made) for _ in range(40)))
            return sum(dataset.id == made.id for dataset in found)

        assert [asyncio.run(many()) for _ in range(2)] == [40, 40]


def test_a_file_is_uploaded_from_disk_and_read_back(transport, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,label\n" + "1,2,x\n3,4,y\n" * 100_000)

    async def upload(server: MockServer) -> tuple[bytes, list[tuple[int, int]]]:
        seen: list[tuple[int, int]] = []
        async with server.async_client(transport=transport) as client:
            made = await client.datasets.create(path, target="label", on_progress=lambda *at: seen.append(at))
            return await client.datasets.content(made), seen

    with MockServer(prewarm=False) as server:
        content, seen = asyncio.run(upload(server))
    assert content == path.read_bytes()
    assert seen[-1] == (len(content), len(content))


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("lmaas._settings.find_spec", lambda name: None)
    with pytest.raises(lmaas.InvalidRequestError, match=r"pip install 'lmaas\[aiohttp\]'"):
        AsyncLMaaS(transport="aiohttp")


@pytest.mark.parametrize("settings", [{"transport": "curl"}, {"transport": "aiohttp", "http_client": object()}])
def test_a_transport_that_cannot_be_is_refused(settings):
    with pytest.raises(lmaas.InvalidRequestError, match="transport"):
        AsyncLMaaS(**settings)


def test_all_connections_over_https_share_one_tls_context():
    async def context() -> object:
        async with AsyncLMaaS(base_url="https://models.example", transport="aiohttp") as client:
            lanes = await client.core.driver._lanes()
            return lanes.take().session.connector._ssl

    assert asyncio.run(context()) is shared_tls_context()
