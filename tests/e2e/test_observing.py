"""Looking at a deployment through both clients: its figures, as they change, and what happened to it."""

from __future__ import annotations

import asyncio
import math
import uuid

import pytest

from lmaas import AsyncLMaaS, LMaaS, NotFoundError, UnprocessableEntityError
from lmaas.types import MLP


@pytest.fixture(scope="module")
def client(lmaas_server):
    """The blocking client; the other has a test of its own."""
    with LMaaS(base_url=lmaas_server.url) as client:
        yield client


@pytest.fixture(scope="module")
def model(client, digits):
    """A small model of digits."""
    images, labels = digits
    job = client.train((images[:500], labels[:500]), name="observed", architecture=MLP(hidden=(32,)), epochs=10, seed=1)
    return client.jobs.wait(job).model


@pytest.fixture
def reader(client, model):
    """The model behind a deployment of its own."""
    return client.deploy(model, name=f"reader-{uuid.uuid4().hex[:8]}").name


def drift(client, reader, images):
    """Call every answer right, and then every answer wrong."""
    shown = client.predict(reader, images[:300])
    wrong = [(label + 1) % 10 for label in shown.labels]
    client.feedback(shown, labels=shown.labels)
    client.feedback(shown, labels=wrong)


def test_stats_tell_what_was_answered_and_how_much_of_it_was_right(client, reader, digits):
    images, _ = digits
    shown = client.predict(reader, images[:10])
    client.feedback(shown, labels=[*shown.labels[:9], (shown.labels[9] + 1) % 10])
    stats = client.deployments.stats(reader, window="5m")
    assert (stats.requests, stats.rows, stats.accuracy, stats.feedback) == (1, 10, 0.9, {"label": 10})
    assert stats.variants[0].role == "champion"
    assert stats.p50_ms == stats.p99_ms > 0


def test_stats_print_as_a_table_and_show_in_a_line(client, reader, digits):
    shown = client.predict(reader, digits[0][:10])
    client.feedback(shown, labels=shown.labels)
    stats = client.deployments.stats(reader, window=300)
    table = str(stats).splitlines()
    assert table[0] == "The last 5 min"
    assert [len(line) for line in table[1:4]] == [len(table[1])] * 3
    assert "100.0% of 10" in table[2]
    assert f"<DeploymentStats {reader}, 5 min: 1 requests" in repr(stats)


def test_a_drift_is_in_the_events_and_the_stats(client, reader, digits):
    drift(client, reader, digits[0])
    with client.deployments.events(reader, follow=True) as events:
        event = next(events)
    assert (event.type, event.seq, event.deployment, event.data["signal"]) == ("drift", 1, reader, "error")
    stats = client.deployments.stats(reader)
    assert (stats.drift.alarms, stats.drift.last_alarm.event) == (1, event.id)
    assert f"error of {event.data['model']} from 0.000 to" in str(stats)
    assert list(client.deployments.events(reader)) == [event]
    assert list(client.deployments.events(reader, after=event)) == []


def test_stats_are_followed_as_they_change(client, reader, digits):
    with client.deployments.follow_stats(reader, window="1h") as stream:
        assert next(stream).requests == 0
        client.predict(reader, digits[0][:1])
        assert next(stream).requests == 1


def test_the_asynchronous_client_sees_the_same(client, lmaas_server, reader, digits):
    drift(client, reader, digits[0])

    async def look():
        async with AsyncLMaaS(base_url=lmaas_server.url) as asynchronous:
            async with asynchronous.deployments.events(reader, follow=True) as events:
                event = await anext(events)
            async with asynchronous.deployments.follow_stats(reader) as stream:
                return event, await anext(stream), await asynchronous.deployments.stats(reader)

    event, followed, asked = asyncio.run(look())
    assert event == next(iter(client.deployments.events(reader)))
    assert followed.drift == asked.drift == client.deployments.stats(reader).drift


@pytest.mark.parametrize("window", ["soon", "0s", "91d", math.nan, -1])
def test_a_window_that_is_none_is_refused_with_what_is_right(client, reader, window):
    with pytest.raises(UnprocessableEntityError, match="such as 5m") as caught:
        client.deployments.stats(reader, window=window)
    assert caught.value.param == "window"


def test_following_what_is_not_there_fails_at_once(client):
    for stream in (client.deployments.events("nobody", follow=True), client.deployments.follow_stats("nobody")):
        with stream, pytest.raises(NotFoundError, match="'nobody'"):
            next(stream)
