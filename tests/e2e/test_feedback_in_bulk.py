"""The client's bulk feedback against a running server: whole batches, the buffered sender, what was wrong of it."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from lmaas import FeedbackBufferError
from lmaas.testing import MockServer

ROWS = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
LABELS = (ROWS[:, 0] > 0).astype(np.int64)


@pytest.fixture(scope="module")
def server():
    """A server with the deployment `points`."""
    with MockServer() as running, running.client() as client:
        job = client.train((ROWS, LABELS), name="points", epochs=2)
        client.deploy(client.jobs.wait(job), name="points")
        yield running


@pytest.fixture
def client(server):
    with server.client() as connected:
        yield connected


def test_labels_of_many_rows_are_one_call_and_come_back_in_order(client):
    prediction = client.predict("points", ROWS)
    labels = np.where(np.arange(40) % 4 == 0, np.nan, LABELS)
    stored = client.feedback(prediction, labels=labels, source="bulk")
    assert [item.index for item in stored] == [n for n in range(40) if n % 4]
    assert {item.id for item in client.feedback.list(source="bulk", limit=1000)} == {item.id for item in stored}


def test_what_is_said_to_a_buffer_is_on_the_server_after_the_block(client):
    with client.feedback.buffer(source="buffer", max_items=7) as send:
        for _ in range(5):
            send(client.predict("points", ROWS[:10]), labels=LABELS[:10])
    found = client.feedback.list(source="buffer", kind="label", limit=1000)
    assert [item.value for item in found][::-1] == LABELS[:10].tolist() * 5


def test_a_buffer_names_each_item_that_the_server_refused(client):
    prediction = client.predict("points", ROWS[:3])
    send = client.feedback.buffer(source="partly")
    send(prediction, labels=[1, 0, 1])
    send("pred-none", labels=1)
    send(prediction, labels=["one", None, None])
    with pytest.raises(FeedbackBufferError) as caught:
        send.close()
    assert [(error.code, error.param) for error in caught.value.errors] == [
        ("prediction_not_found", "prediction_id"),
        ("feedback_invalid", "value"),
    ]
    assert len([*client.feedback.list(source="partly")]) == 3


def test_the_async_buffer_does_the_same(server):
    async def talk():
        async with server.async_client() as client:
            async with client.feedback.buffer(source="async") as send:
                prediction = await client.predict("points", ROWS)
                await send(prediction, labels=LABELS)
            return [item.value async for item in client.feedback.list(source="async", limit=1000)]

    assert asyncio.run(talk())[::-1] == LABELS.tolist()
