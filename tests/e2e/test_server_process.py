"""A language model in the real `lmaas-server`: killed while it learns, and left by those who read its texts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from killable import Server, wait_for

from lmaas.types import Adam, CausalLM, Checkpoints, Llama

TAUGHT = [{"prompt": f"{number} is", "completion": (" even", " odd")[number % 2]} for number in range(40)]
HOW = {
    "architecture": CausalLM(llama=Llama(layers=1, heads=2, width=16, context=512, tokenizer="char")),
    "epochs": 30,
    "batch_size": 4,
    "optimizer": Adam(lr=1e-3),
    "checkpoints": Checkpoints(every_epochs=2),
    "seed": 5,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    running = Server(folder)
    yield running
    running.kill()


@pytest.fixture(scope="module")
def job(server):
    """A training that the server was killed in, after a checkpoint, and that came to its end in the next one."""
    job = server.client.train(TAUGHT, name="killed", **HOW)
    with server.client.jobs.events(job, follow=True) as events:
        next(event for event in events if event.type == "checkpoint")
    server.kill()
    server.start()
    return server.client.jobs.wait(job)


@pytest.fixture(scope="module")
def writer(server, job):
    """A deployment of what was learned."""
    server.client.deploy(job.model, name="writer")
    return "writer"


def test_a_language_model_whose_server_was_killed_ends_in_the_weights_of_one_that_was_not(server, job):
    whole = server.client.jobs.wait(server.client.train(TAUGHT, name="whole", **HOW))
    said = [e.data["status"] for e in server.client.jobs.events(job) if e.type == "status"]
    assert said == ["queued", "running", "queued", "running", "succeeded"]
    assert server.client.models.retrieve(job.model).sha256 == server.client.models.retrieve(whole.model).sha256


def endless(client, **rest):
    """Stream a text that goes on for as long as the context lasts, unless a rare word ends it."""
    return client.stream("writer", {"prompt": "1"}, max_tokens=500, temperature=10, seed=0, **rest)


def test_who_stops_reading_stops_the_work(server, writer):
    with endless(server.client) as story:
        next(iter(story))
    found = wait_for(lambda: next(iter(server.client.predictions.list(deployment=writer, limit=1)), None))
    assert found.outputs[0].finish_reason == "cancelled"
    assert found.outputs[0].completion_tokens < 450


def test_a_slow_reader_holds_nobody_up(server, writer):
    """One reads a piece and then nothing; twenty others are answered meanwhile."""
    with endless(server.client) as slow:
        next(iter(slow))
        for number in range(20):
            answer = server.client.predict(writer, [f"{number} is"], temperature=0, max_tokens=5)
            assert answer.outputs[0].completion_tokens >= 1
        assert "".join(slow)
