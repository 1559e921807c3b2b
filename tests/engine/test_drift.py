"""ADWIN: the alarms of river on the same streams, and what the paper promises."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmaas_server.engine.learning.drift import Adwin

RIVER = json.loads(Path(__file__).with_name("adwin_of_river.json").read_text())


def numbers(seed, recipe):
    """The stream of a fixture: how the numbers are drawn, with which parameter, and how many."""
    rng = random.Random(seed)
    draw = {
        "bernoulli": lambda p: float(rng.random() < p),
        "uniform": lambda low: low + rng.random(),
        "beta": lambda alpha: rng.betavariate(alpha, 1.0),
    }
    return [draw[kind](parameter) for kind, parameter, count in recipe for _ in range(count)]


def alarms(adwin, stream):
    """At which numbers it sounds, from 1."""
    return [place for place, number in enumerate(stream, 1) if adwin.update(number) is not None]


@pytest.mark.parametrize("case", RIVER["streams"], ids=lambda case: f"{case['stream']}, {case['check_every']}")
def test_alarms_come_where_those_of_river_come(case):
    adwin = Adwin(delta=case["delta"], check_every=case["check_every"])
    assert alarms(adwin, numbers(case["seed"], case["recipe"])) == case["alarms"]
    assert (adwin.width, adwin.mean) == (case["width"], pytest.approx(case["mean"], abs=1e-8))


def test_a_change_tells_the_means_before_and_after():
    adwin = Adwin(check_every=8)
    changes = [adwin.update(number) for number in numbers(1, [("bernoulli", 0.02, 2000), ("bernoulli", 0.6, 60)])]
    (change,) = [change for change in changes if change is not None]
    assert change.before == pytest.approx(0.02, abs=0.01)
    assert change.after == pytest.approx(0.6, abs=0.2)
    assert 2000 - change.older < 32
    assert change.older + change.newer == change.at > 2000


def test_a_million_numbers_are_remembered_in_a_hundred_buckets():
    adwin = Adwin()
    for place in range(1_000_000):
        adwin.update(float(place & 1))
    assert sum(map(len, adwin.rows)) <= 6 * 19
    assert len(json.dumps(adwin.state())) < 4000


@given(st.lists(st.floats(0, 1), max_size=400), st.integers(0, 400))
@settings(max_examples=50, deadline=None)
def test_what_is_stored_and_restored_goes_on_as_if_nothing_had_been(stream, cut):
    whole, first = Adwin(check_every=4), Adwin(check_every=4)
    expected = alarms(whole, stream)
    found = alarms(first, stream[:cut])
    second = Adwin.restored(json.loads(json.dumps(first.state())), check_every=4)
    assert found + [len(stream[:cut]) + place for place in alarms(second, stream[cut:])] == expected
    assert second == whole


@given(st.lists(st.sampled_from([0.0, 0.1, 0.9, 1.0]), max_size=400), st.integers(1, 50))
@settings(max_examples=50, deadline=None)
def test_many_numbers_at_once_are_those_one_by_one_to_the_last_bit(stream, step):
    single, many = Adwin(check_every=4), Adwin(check_every=4)
    expected = [(place, change) for place, n in enumerate(stream) if (change := single.update(n)) is not None]
    starts = range(0, len(stream), step)
    assert [(at + place, c) for at in starts for place, c in many.extend(stream[at : at + step])] == expected
    assert many == single


@given(st.lists(st.floats(0, 1), min_size=1, max_size=400))
@settings(max_examples=50, deadline=None)
def test_the_window_is_the_newest_numbers(stream):
    adwin = Adwin(check_every=4)
    alarms(adwin, stream)
    newest = stream[len(stream) - adwin.width :]
    assert adwin.total == pytest.approx(sum(newest), abs=1e-9)
    assert adwin.spread == pytest.approx(sum((n - adwin.mean) ** 2 for n in newest), abs=1e-9)


@pytest.mark.parametrize("probability", [0.0, 0.02, 0.3, 1.0])
def test_nothing_sounds_where_nothing_changes(probability):
    for seed in range(20):
        assert alarms(Adwin(check_every=8), numbers(seed, [("bernoulli", probability, 3000)])) == []


def test_watching_needs_no_torch():
    program = "import sys, lmaas_server.services.watching; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
