"""Limits of requests: what is in memory and what several processes share count the same."""

from __future__ import annotations

import secrets
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmaas_server.http.limits import OwnBuckets, RateLimiter
from lmaas_server.http.shared_buckets import SharedBuckets


@pytest.fixture
def shared(tmp_path):
    """Buckets in one file, opened as by another process each time."""
    return lambda name="buckets": SharedBuckets(tmp_path / name)


def test_two_processes_take_from_one_bucket(shared):
    first, second = (RateLimiter(3, clock=lambda: 0.0, buckets=shared()) for _ in range(2))
    assert [limiter.take("key")[1] for limiter in (first, second, first)] == [None] * 3
    allowance, refusal = second.take("key")
    assert (allowance.remaining, refusal.code) == (0, "rate_limited")
    assert second.take("another key")[1] is None


def test_nothing_is_lost_between_threads_and_processes(shared):
    limiters = [RateLimiter(400, clock=lambda: 0.0, buckets=shared()) for _ in range(2)]

    def take(limiter: RateLimiter) -> None:
        for _ in range(50):
            limiter.take("key")

    takers = [threading.Thread(target=take, args=[limiter]) for limiter in limiters * 2]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
    assert limiters[0].take("key")[0].remaining == 199


def test_a_clock_that_began_anew_gives_nothing_and_takes_nothing(shared):
    now = [1e6]
    limiter = RateLimiter(60, clock=lambda: now[0], buckets=shared())
    assert limiter.take("key")[0].remaining == 59
    now[0] = 5.0
    assert limiter.take("key")[0].remaining == 58
    now[0] = 6.0
    assert limiter.take("key")[0].remaining == 58


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(1, 5),
    asked=st.lists(st.tuples(st.text(max_size=3), st.floats(0, 60, allow_nan=False)), max_size=40),
)
def test_shared_and_own_buckets_count_the_same(shared, limit, asked):
    now = [0.0]
    mine = RateLimiter(limit, clock=lambda: now[0], buckets=OwnBuckets())
    ours = RateLimiter(limit, clock=lambda: now[0], buckets=shared(secrets.token_hex(8)))
    for caller, pause in asked:
        now[0] += pause
        one, other = mine.take(caller), ours.take(caller)
        assert one[0] == other[0]
        assert (one[1] is None) == (other[1] is None)
