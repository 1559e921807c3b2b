"""Events of deployments: numbered without gaps, found again, gone with their deployment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from lmaas_server.errors import MissingError


@pytest.fixture
def events(storage, a_deployment):
    for name in ("reader", "other"):
        storage.deployments.create(a_deployment(name))
    return storage.deployment_events


def test_events_of_a_deployment_are_numbered_from_one_without_gaps_whoever_writes(events):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: events.add(["reader", "other"][n % 2], "drift", "x", {"n": n}, 1.0), range(40)))
    assert [event.seq for event in events.events("reader")] == list(range(1, 21))
    assert [event.seq for event in events.events("other", order="desc", limit=2)] == [20, 19]


def test_an_event_of_one_key_is_written_once(events):
    first = events.add("reader", "rollback", "x", {}, 1.0, key="job-1")
    assert events.add("reader", "rollback", "y", {}, 2.0, key="job-1") == first
    assert events.add("other", "rollback", "x", {}, 1.0, key="job-1").id != first.id


def test_a_deployment_that_is_gone_takes_no_event_and_leaves_none_behind(storage, events, a_deployment):
    events.add("reader", "drift", "x", {}, 1.0)
    storage.deployments.delete("reader")
    assert events.add("reader", "drift", "x", {}, 1.0) is None
    storage.deployments.create(a_deployment("reader"))
    assert events.events("reader") == []


def test_an_event_is_found_by_its_id_and_only_with_its_deployment(events):
    event = events.add("reader", "drift", "x", {}, 1.0)
    assert events.event_seq("reader", event.id) == 1
    with pytest.raises(MissingError, match="has no event"):
        events.event_seq("other", event.id)


def test_who_waits_for_events_gets_the_later_ones_and_stops_waiting(events):
    events.add("reader", "drift", "x", {}, 1.0)
    assert events.wait_for_events("reader", after_seq=1, timeout=0.0) == []
    events.add("reader", "drift", "y", {}, 1.0)
    assert [event.message for event in events.wait_for_events("reader", after_seq=1, timeout=60.0)] == ["y"]
