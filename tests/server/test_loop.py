"""The event loop before the application: quick requests are answered on it, in batches; the rest in threads."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from itertools import zip_longest

import pytest

from lmaas_server.http.heads import Address, Head
from lmaas_server.http.lane import lane_of
from lmaas_server.http.loop import Loop

PREDICTIONS = "/v1/deployments/d/predictions"


@dataclass
class Exchange:
    """A request, and the answer it got."""

    head: Head
    body: bytes
    loop: asyncio.AbstractEventLoop | None = None
    breaks_off: bool = False
    turns: int = 0
    """For how many turns of the loop the body is on its way."""
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    said_raw: bytes = b""
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    address: Address = field(default_factory=lambda: Address("127.0.0.1", "8000", "127.0.0.1"))

    def when_whole(self, then):
        if self.turns:
            self.turns -= 1
            self.loop.call_soon(self.when_whole, then)
        else:
            then(b"" if self.breaks_off else self.body)

    async def __aiter__(self):
        yield self.body

    def answer(self, status, headers, body=b""):
        self.status, self.headers, self.said_raw = status, dict(headers), body
        self.loop.call_soon_threadsafe(self.answered.set)

    def fail(self):
        self.answer(500, [])

    @property
    def said(self):
        return json.loads(self.said_raw)


@pytest.fixture
def settings(settings):
    """Two requests may wait for a model beside the one that is computed."""
    return {**settings, "max_waiting": 3}


@pytest.fixture
def predictor(deployed, server):
    """The model that answers, which notes its batches and the threads that computed them."""
    found = server.predictors.get("blobs@1")
    compute = found.compute
    found.batches, found.threads = [], []

    def noting(rows):
        found.batches.append(len(rows))
        found.threads.append(threading.get_ident())
        if (rows == 666).any():
            raise ArithmeticError("poison")
        return compute(rows)

    found.compute = noting
    return found


@pytest.fixture
def at_once(app):
    """Send several bodies in one turn of a loop, and return what came of each."""

    async def send(asked: Loop, exchanges: list[Exchange]) -> None:
        asked.start(asyncio.get_running_loop())
        for exchange in exchanges:
            exchange.loop = asyncio.get_running_loop()
            asked.answer(exchange)
        await asyncio.gather(*[exchange.answered.wait() for exchange in exchanges])

    def at_once(*bodies, breaks_off: bool = False, turns: tuple[int, ...] = (), **headers: str) -> list[Exchange]:
        raw = [body if isinstance(body, bytes) else json.dumps(body).encode() for body in bodies]
        named = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
        exchanges = []
        for body, n in zip_longest(raw, turns, fillvalue=0):
            said = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body)), **named}
            head = Head("POST", PREDICTIONS, "", "1.1", said, length=len(body))
            exchanges.append(Exchange(head, body, breaks_off=breaks_off, turns=n))
        asyncio.run(send(Loop(lane_of(app), threads=4), exchanges))
        return exchanges

    return at_once


@pytest.fixture
def light(predictor, at_once, deployed, monkeypatch):
    """The model has been measured, and is light, however busy the machine."""
    monkeypatch.setattr("lmaas_server.engine.serving.batching._LIGHT_SECONDS", 60.0)
    at_once({"inputs": deployed.rows()})
    predictor.batches.clear()
    predictor.threads.clear()
    return predictor


def test_what_comes_in_one_turn_is_one_batch_computed_on_the_loop(light, at_once, deployed):
    answers = at_once(*({"inputs": deployed.rows(count)} for count in (1, 2, 3)))
    assert light.batches == [6]
    assert light.threads == [threading.get_ident()]
    assert [len(answer.said["outputs"]) for answer in answers] == [1, 2, 3]


def test_a_batch_waits_for_the_next_turn_as_long_as_each_brings_more(light, at_once, deployed, monkeypatch):
    monkeypatch.setattr("lmaas_server.http.loop.perf_counter", lambda: 0.0)  # as if no time went by
    at_once(*[{"inputs": deployed.rows()}] * 4, turns=(0, 0, 1, 2))
    assert light.batches == [4]


def test_a_batch_waits_no_longer_than_its_model_allows(light, at_once, deployed, monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("lmaas_server.http.loop.perf_counter", lambda: next(clock))  # a second each time it is asked
    at_once(*[{"inputs": deployed.rows()}] * 4, turns=(0, 0, 1, 2))
    assert light.batches == [2, 1, 1]


def test_who_asks_alone_is_answered_in_the_next_turn(light, at_once, deployed):
    at_once(*[{"inputs": deployed.rows()}] * 2, turns=(0, 1))
    assert light.batches == [1, 1]


def test_answers_of_a_turn_are_those_that_each_would_get_alone(light, at_once, deployed):
    bodies = [{"inputs": [row]} for row in deployed.rows(3)]
    together = [answer.said["outputs"][0]["label"] for answer in at_once(*bodies)]
    assert together == [at_once(body)[0].said["outputs"][0]["label"] for body in bodies]


def test_who_breaks_a_batch_is_told_and_its_neighbours_are_answered(light, at_once, deployed):
    good = {"inputs": deployed.rows()}
    assert [answer.status for answer in at_once(good, {"inputs": [[666.0] * 4]}, good)] == [200, 500, 200]


def test_more_than_may_wait_for_a_model_are_told_to_come_again(light, at_once, deployed):
    answers = at_once(*[{"inputs": deployed.rows()}] * 6)
    assert [answer.status for answer in answers] == [200] * 4 + [503] * 2
    assert answers[-1].said["error"]["code"] == "overloaded"
    assert int(answers[-1].headers["retry-after-ms"]) > 0


def test_a_model_that_nobody_has_measured_is_computed_in_a_thread(predictor, at_once, deployed):
    assert at_once({"inputs": deployed.rows()})[0].status == 200
    assert predictor.threads != [threading.get_ident()]


def test_a_model_that_takes_long_never_holds_the_loop_up(light, at_once, deployed, monkeypatch):
    monkeypatch.setattr("lmaas_server.engine.serving.batching._LIGHT_SECONDS", 0.0)
    assert at_once({"inputs": deployed.rows()})[0].status == 200
    assert threading.get_ident() not in light.threads


def test_a_model_that_is_not_in_memory_is_loaded_by_a_thread(light, at_once, deployed, server, monkeypatch):
    threads = []
    read = server.predictors._read
    monkeypatch.setattr(server.predictors, "_read", lambda name: threads.append(threading.get_ident()) or read(name))
    server.predictors._loaded.clear()
    assert at_once({"inputs": deployed.rows()})[0].status == 200
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_body_that_breaks_off_is_told_so(light, at_once, deployed):
    (answer,) = at_once({"inputs": deployed.rows()}, breaks_off=True)
    assert (answer.status, answer.said["error"]["code"]) == (400, "body_truncated")


def test_the_same_key_in_one_turn_is_done_once(light, at_once, deployed):
    body = {"inputs": deployed.rows()}
    first, second = at_once(body, body, idempotency_key="k")
    assert (first.status, second.status) == (200, 409)
    (again,) = at_once(body, idempotency_key="k")
    assert again.said["id"] == first.said["id"]
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("body", [{"inputs": []}, {"inputs": [[1]], "paramters": {}}, {"inputs": [["x"]]}, [1], b"{"])
def test_a_wrong_body_is_told_the_same_on_the_loop_and_by_flask(light, at_once, deployed, body):
    (on_the_loop,) = at_once(body)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    by_flask = deployed.http.post(PREDICTIONS + "/", data=raw, content_type="application/json")
    assert (on_the_loop.status, on_the_loop.said) == (by_flask.status_code, by_flask.json)
    assert set(on_the_loop.headers) == {name.lower() for name, _ in by_flask.headers}


def test_a_long_body_and_a_stream_are_for_threads(light, at_once, deployed, monkeypatch):
    (refused,) = at_once({"inputs": deployed.rows()}, accept="text/event-stream")
    assert refused.said["error"]["code"] == "stream_unsupported"
    monkeypatch.setattr("lmaas_server.http.loop._MOST_READ", 10)
    assert at_once({"inputs": deployed.rows()})[0].status == 200
    assert threading.get_ident() not in light.threads
