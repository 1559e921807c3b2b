"""What the clients do beside sending: loops, streams, options, secrets, warnings."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sdk_samples import JOB

import lmaas
from lmaas import AsyncLMaaS, LMaaS
from lmaas._async_driver import MAX_OPEN_REQUESTS
from lmaas._httpx import shared_tls_context

EVENT = (
    b"id: 1\nevent: message\n"
    b'data: {"id": "evt-1", "seq": 1, "type": "message", "message": "m", "data": {}, "created_at": 1}\n\n'
)
DONE = b"data: [DONE]\n\n"


def job(_request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=JOB, headers={"x-request-id": "req-7"})


class Loopback:
    """A server on loopback that answers each connection with bytes, and sees when it is closed."""

    def __init__(self, *scripts: list[bytes], hold: bool = False) -> None:
        self.scripts, self.hold = list(scripts), hold
        self.requests, self.closed = [], threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        for script in self.scripts:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(connection.recv(65536))
                for chunk in script:
                    connection.sendall(chunk)
                if self.hold:
                    connection.settimeout(10)
                    try:
                        if connection.recv(1) == b"":
                            self.closed.set()
                    except OSError:
                        self.closed.set()

    def close(self) -> None:
        self.listener.close()


@pytest.fixture
def loopback():
    servers = []

    def make(*scripts, **settings) -> Loopback:
        servers.append(Loopback(*scripts, **settings))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def stream(*chunks: bytes) -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    return [head + b"".join(chunks)]


def whole(body: bytes = httpx.Response(200, json=JOB).content) -> list[bytes]:
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    return [head + body]


def test_one_async_client_works_on_one_loop_after_another(loopback):
    server = loopback(whole(), whole())
    client = AsyncLMaaS(base_url=server.url)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [asyncio.run(client.jobs.retrieve("job-1")).id for _ in range(2)] == ["job-1"] * 2
        del client
        gc.collect()


def test_a_cut_connection_is_tried_again_with_the_same_key(loopback):
    server = loopback([], whole())
    with LMaaS(base_url=server.url) as client:
        client.jobs.cancel("job-1")
    keys = [line for request in server.requests for line in request.split(b"\r\n") if line.startswith(b"idempotency")]
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_a_cut_body_is_tried_again(loopback):
    cut = [b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"]
    server = loopback(cut, whole())
    with LMaaS(base_url=server.url) as client:
        assert client.jobs.retrieve("job-1").id == "job-1"


def test_a_refused_connection_raises_with_the_address():
    refused = pytest.raises(lmaas.APIConnectionError, match=r"cannot connect to http://127\.0\.0\.1:1")
    with LMaaS(base_url="http://127.0.0.1:1", max_retries=0) as client, refused:
        client.jobs.retrieve("job-1")


def test_a_body_that_trickles_ends_at_the_deadline(loopback):
    server = loopback([b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"], hold=True)
    with LMaaS(base_url=server.url, deadline=0.2, max_retries=0) as client:
        start = time.monotonic()
        with pytest.raises(lmaas.APITimeoutError):
            client.jobs.retrieve("job-1")
    assert time.monotonic() - start < 5


def test_the_async_deadline_ends_an_attempt(loopback):
    server = loopback([b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"], hold=True)

    async def late():
        async with AsyncLMaaS(base_url=server.url, deadline=0.2, max_retries=0) as client:
            await client.jobs.retrieve("job-1")

    with pytest.raises(lmaas.APITimeoutError):
        asyncio.run(late())


def test_leaving_a_stream_early_gives_its_connection_back(loopback):
    server = loopback(stream(EVENT), hold=True)
    with LMaaS(base_url=server.url) as client:
        with client.jobs.events("job-1", follow=True) as events:
            assert next(events).id == "evt-1"
        assert server.closed.wait(5)


def test_leaving_an_async_stream_early_gives_its_connection_back(loopback):
    server = loopback(stream(EVENT), hold=True)

    async def leave():
        client = AsyncLMaaS(base_url=server.url)
        async with client, client.jobs.events("job-1", follow=True) as events:
            event = await anext(aiter(events))
            return event.id, await asyncio.to_thread(server.closed.wait, 0)

    assert asyncio.run(leave()) == ("evt-1", False)
    assert server.closed.wait(5)


def test_a_dropped_open_stream_warns(loopback):
    server = loopback(stream(EVENT), hold=True)
    with LMaaS(base_url=server.url) as client:
        events = client.jobs.events("job-1", follow=True)
        next(events)
        with pytest.warns(ResourceWarning, match="unclosed <Stream"):
            del events


def test_a_stream_ends_at_done_and_stays_ended(loopback):
    server = loopback(stream(EVENT, DONE))
    with LMaaS(base_url=server.url) as client:
        events = client.jobs.events("job-1", follow=True)
        assert [event.seq for event in events] == [1]
        assert list(events) == []
        assert repr(events) == "<Stream ended>"


def test_a_broken_stream_is_taken_up_by_both_clients(loopback):
    other = EVENT.replace(b"id: 1", b"id: 2").replace(b'"seq": 1', b'"seq": 2')
    server = loopback(stream(EVENT), stream(other, DONE), stream(EVENT), stream(other, DONE))
    with LMaaS(base_url=server.url) as client, client.jobs.events("job-1", follow=True) as events:
        assert [event.seq for event in events] == [1, 2]

    async def follow():
        client = AsyncLMaaS(base_url=server.url)
        async with client, client.jobs.events("job-1", follow=True) as events:
            return [event.seq async for event in events]

    assert asyncio.run(follow()) == [1, 2]
    assert [b"last-event-id: 1" in request for request in server.requests] == [False, True, False, True]


def test_a_used_client_that_is_dropped_only_warns(loopback):
    client = LMaaS(base_url=loopback(whole()).url)
    client.jobs.retrieve("job-1")
    with pytest.warns(ResourceWarning, match="unclosed client of http"):
        del client


def test_an_async_client_that_is_dropped_schedules_nothing(loopback):
    server = loopback(whole())

    async def drop():
        client = AsyncLMaaS(base_url=server.url)
        await client.jobs.retrieve("job-1")
        before = len(asyncio.all_tasks())
        with pytest.warns(ResourceWarning, match="unclosed client of http"):
            del client
        return len(asyncio.all_tasks()) - before

    assert asyncio.run(drop()) == 0


def test_a_client_that_was_never_used_or_is_closed_does_not_warn(loopback):
    with LMaaS(base_url=loopback(whole()).url) as client:
        client.jobs.retrieve("job-1")
    LMaaS()
    AsyncLMaaS()
    gc.collect()


def test_a_closed_client_sends_nothing_whether_it_was_used_before_or_not(loopback):
    server = loopback(whole())
    used, unused = LMaaS(base_url=server.url), LMaaS(base_url=server.url)
    used.jobs.retrieve("job-1")
    for client in (used, unused):
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            client.jobs.retrieve("job-1")
    assert len(server.requests) == 1


def test_threads_that_meet_at_the_first_call_share_one_http_client():
    connections = LMaaS().core.driver._connections
    with ThreadPoolExecutor(8) as pool:
        made = {id(each.result()) for each in [pool.submit(connections.http) for _ in range(8)]}
    connections.close()
    assert len(made) == 1


def test_copies_share_the_connections_and_leave_closing_to_the_original(connect):
    client = connect(job)
    twin = client.with_options(timeout=1.0, max_retries=0, extra_headers={"x-a": "1"})
    twin.close()
    assert (twin.jobs.retrieve("job-1").id, client.jobs.retrieve("job-1").id) == ("job-1", "job-1")
    assert (twin.core.policy.timeout, twin.core.policy.max_retries) == (1.0, 0)
    assert (client.core.policy.timeout, twin.core.policy.budget) == (60.0, client.core.policy.budget)


def test_a_copy_keeps_its_original_alive(loopback):
    twin = LMaaS(base_url=loopback(whole()).url).with_options(timeout=3.0)
    gc.collect()
    assert twin.jobs.retrieve("job-1").id == "job-1"
    twin.core.driver._lender.close()


def test_raw_responses_give_status_headers_and_the_value(connect):
    raw = connect(job).jobs.with_raw_response.retrieve("job-1")
    assert (raw.status, raw.request_id, raw.parse().id) == (200, "req-7", "job-1")
    assert raw.headers["content-type"] == "application/json"


def test_a_raw_response_that_cannot_be_parsed_is_still_there(connect):
    raw = connect(lambda _: httpx.Response(200, json={"id": 3})).jobs.with_raw_response.retrieve("job-1")
    assert raw.body == b'{"id":3}'
    with pytest.raises(lmaas.APIResponseValidationError):
        raw.parse()


def test_verbs_and_lists_give_raw_responses_too(aconnect):
    async def both():
        client = aconnect(job)
        raw = await client.with_raw_response.update("reader")
        return raw.status, raw.parse().id

    assert asyncio.run(both()) == (200, "job-1")


def test_hooks_of_the_callers_http_client_are_called():
    seen = []
    with httpx.Client(transport=httpx.MockTransport(job), event_hooks={"request": [seen.append]}) as http:
        LMaaS(base_url="http://test", http_client=http).jobs.retrieve("job-1")
    assert [str(request.url) for request in seen] == ["http://test/v1/jobs/job-1"]


def test_the_cap_holds_on_open_requests():
    open_now = most = 0

    async def slow(_request):
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0)
        open_now -= 1
        return httpx.Response(200, json=JOB)

    async def many():
        async with httpx.AsyncClient(transport=httpx.MockTransport(slow)) as http:
            client = AsyncLMaaS(base_url="http://test", http_client=http)
            await asyncio.gather(*(client.jobs.retrieve("job-1") for _ in range(100)))

    asyncio.run(many())
    assert 1 < most <= MAX_OPEN_REQUESTS


def test_a_cancelled_task_is_cancelled_and_its_slot_is_free_again():
    async def never(_request):
        await asyncio.sleep(60)

    async def cancel():
        async with httpx.AsyncClient(transport=httpx.MockTransport(never)) as http:
            client = AsyncLMaaS(base_url="http://test", http_client=http)
            for _ in range(20):
                task = asyncio.create_task(client.jobs.retrieve("job-1"))
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(cancel())


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("LMAAS_API_KEY", "sk-env")
    monkeypatch.setenv("LMAAS_BASE_URL", "https://models.example/")
    settings = LMaaS().core.driver.settings
    assert (settings.base_url, settings.api_key.get_secret_value()) == ("https://models.example", "sk-env")


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"timeout": 0}, "timeout"),
        ({"deadline": -1}, "deadline"),
        ({"max_retries": -1}, "max_retries"),
        ({"base_url": "models.example"}, "base_url"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings, name):
    with pytest.raises(lmaas.InvalidRequestError, match=name):
        LMaaS(**settings)


def test_the_key_shows_nowhere(connect, caplog):
    client = connect(job, api_key="sk-secret")
    with caplog.at_level(logging.DEBUG, logger="lmaas"):
        client.jobs.retrieve("job-1", extra_headers={"Cookie": "sk-secret", "x-tag": "shown"})
    assert "shown" in caplog.text
    assert "GET http://test/v1/jobs/job-1 200 (request id req-7)" in caplog.text
    assert "sk-secret" not in caplog.text + repr(client) + repr(client.jobs) + repr(client.core.driver.settings)


def test_all_clients_of_https_share_one_tls_context_and_those_of_http_load_none():
    with LMaaS(base_url="https://a.example") as one, LMaaS(base_url="https://b.example") as two:
        contexts = {id(c.core.driver._connections.http()._transport._pool._ssl_context) for c in (one, two)}
    assert contexts == {id(shared_tls_context())}
    with LMaaS(base_url="http://a.example") as plain:
        assert plain.core.driver._connections.http()._transport._pool._ssl_context.get_ca_certs() == []


def test_methods_show_the_documentation_and_signature_of_what_they_stand_for():
    import inspect

    client = LMaaS()
    assert client.jobs.wait.__doc__.startswith("Wait until the job has ended")
    assert list(inspect.signature(client.jobs.wait).parameters)[:2] == ["job", "timeout"]
    assert LMaaS.train.__doc__ == client.train.__doc__
