"""Updates in the real `lmaas-server`, killed in their middle: none is lost, none comes twice, none ends otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from killable import Server, wait_for

from lmaas.types import MLP, CausalLM, Gate, Llama

OPEN = Gate(enabled=False)
WIDE = MLP(hidden=(1024, 1024))  # an update of it takes seconds, and is killed in its middle within tenths
KILLED = ["queued", "running", "queued", "running", "succeeded"]
TINY = {
    "architecture": CausalLM(llama=Llama(layers=1, heads=2, width=16, context=64, tokenizer="char")),
    "epochs": 5,
    "batch_size": 8,
    "seed": 5,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("killed") / "data")
    yield running
    running.kill()


@pytest.fixture(scope="module")
def reader(server, digits):
    """A classifier, and thousands of corrections that wait to be learned."""
    images, labels = digits
    job = server.client.train((images[:300], labels[:300]), name="reader", architecture=WIDE, epochs=3)
    server.client.deploy(server.client.jobs.wait(job).model, name="reader")
    shown = server.client.predict("reader", images[:1200])
    server.client.feedback(shown, labels=labels[:1200])
    return "reader"


@pytest.fixture(scope="module")
def writer(server):
    """A language model that writes the wrong word, and the texts that it should have written."""
    prompts = [{"prompt": f"{number} is"} for number in range(40)]
    job = server.client.train([{**prompt, "completion": " odd"} for prompt in prompts], name="writer", **TINY)
    server.client.deploy(server.client.jobs.wait(job).model, name="writer")
    shown = server.client.predict("writer", prompts, temperature=0, max_tokens=4)
    server.client.feedback(shown, demonstrations=[" even"] * len(prompts))
    return "writer"


def updated(server, deployment, *, killed=False, meanwhile=lambda: None):
    """The weights of an update, on the shelf, and its job; `killed` after its first step."""
    epochs = {"reader": None, "writer": 2}[deployment]
    job = server.client.update(deployment, promote="manual", gate=OPEN, epochs=epochs)
    if killed:
        wait_for(lambda: server.client.jobs.retrieve(job).progress.step > 0)
        meanwhile()
        server.kill()
        server.start()
    job = server.client.jobs.wait(job)
    statuses = [event.data["status"] for event in server.client.jobs.events(job) if event.type == "status"]
    assert statuses == (KILLED if killed else ["queued", "running", "succeeded"])
    return server.client.models.retrieve(job.model).sha256, job


@pytest.mark.parametrize("deployment", ["reader", "writer"])
def test_a_killed_update_ends_in_the_weights_of_one_that_was_not_without_what_was_retracted(
    server, request, deployment
):
    request.getfixturevalue(deployment)
    gone = [item.id for item in server.client.feedback.list(deployment=deployment, limit=5).page().data]

    def retract():
        for id in gone:
            server.client.feedback.retract(id)

    parted, job = updated(server, deployment, killed=True, meanwhile=retract)
    whole, again = updated(server, deployment)
    assert parted == whole
    counted = [job.result["feedback_used"] + job.result["feedback_held_out"] for job in (job, again)]
    assert counted == [{"reader": 1200, "writer": 40}[deployment] - len(gone)] * 2


def test_a_server_killed_as_soon_as_it_took_feedback_starts_one_update_and_no_second(server, reader, digits):
    name = "by-itself"
    policy = {"min_feedback": 50, "gate": OPEN}
    server.client.deploy(f"{reader}@1", name=name, update_policy=policy)
    shown = server.client.predict(name, digits[0][:50])
    server.client.feedback(shown, labels=digits[1][:50])
    server.kill()
    server.start()
    found = wait_for(lambda: list(server.client.jobs.list(type="update", deployment=name)))
    job = server.client.jobs.wait(found[0])
    assert (job.trigger.feedback, job.result["promoted"]) == (50, True)
    events = wait_for(lambda: [e for e in server.client.deployments.events(name) if e.type == "update"][1:])
    assert [event.data["status"] for event in events] == ["succeeded"]
    assert len(list(server.client.jobs.list(type="update", deployment=name))) == 1
