"""The watch over a version: errors where labels come, confidence where none do."""

from __future__ import annotations

import json
import random

import pytest

from lmaas_server.services.watching import Watch


@pytest.fixture
def steady():
    """A watch that has seen a thousand requests of a good model, and no label."""
    watch, rng = Watch(), random.Random(0)
    assert not any(watch.requested([rng.betavariate(30, 1)]) for _ in range(1000))
    return watch


def sinks(watch, *, label=None):
    """Let the confidence sink; return which signals sounded."""
    rng, found = random.Random(1), set()
    for _ in range(200):
        if watch.requested([rng.betavariate(3, 1)]):
            found.add("confidence")
        if label is not None and watch.labelled(right=rng.random() < label):
            found.add("error")
    return found


def test_without_labels_confidence_sounds(steady):
    assert steady.signal == "confidence"
    assert sinks(steady) == {"confidence"}


def test_while_labels_arrive_they_alone_sound(steady):
    for _ in range(500):
        steady.labelled(right=True)
    assert steady.signal == "error"
    assert sinks(steady, label=1.0) == set()


def test_errors_that_become_more_frequent_sound(steady):
    for _ in range(500):
        steady.labelled(right=True)
    assert sinks(steady, label=0.5) == {"error"}


def test_errors_that_become_fewer_are_no_alarm():
    watch, rng = Watch(), random.Random(2)
    found = [watch.labelled(right=rng.random() < 0.4) for _ in range(500)]
    found += [watch.labelled(right=True) for _ in range(500)]
    assert found == [None] * 1000
    assert watch.error.mean < 0.1


def test_confidence_speaks_again_when_labels_have_stopped(steady):
    steady.labelled(right=True)
    for _ in range(10):
        steady.requested([0.97])
    assert steady.signal == "confidence"


def test_requests_that_come_together_are_watched_as_if_one_by_one(steady):
    steady.labelled(right=True)
    again, rng = Watch.restored(steady.state()), random.Random(3)
    confidences = [None if rng.random() < 0.1 else rng.betavariate(3, 1) for _ in range(300)]
    found = [(place, change) for place, one in enumerate(confidences) for _, change in steady.requested([one])]
    assert again.requested(confidences) == found != []
    assert again == steady


def test_a_watch_goes_on_after_a_restart(steady):
    steady.labelled(right=True)
    again = Watch.restored(json.loads(json.dumps(steady.state())))
    assert again == steady
    assert sinks(again) == sinks(steady)
