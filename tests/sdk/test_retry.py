"""Retry, backoff, deadline and budget, by feeding the flow: no socket, no clock, no mock."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sdk_samples import answer

from lmaas._hints import retry_after
from lmaas._request import Attempt, Now, Request, Sleep, TransportError
from lmaas._retry import RetryBudget, RetryPolicy, attempts, backoff, retrying

GET = Request("GET", "/v1/jobs/job-1")
POST = Request("POST", "/v1/jobs", body=b"{}")
LOST = TransportError("read", "the connection was lost")


def policy(**settings) -> RetryPolicy:
    return RetryPolicy(**{"uniform": lambda: 0.0, "mint": lambda: "key-1", **settings})


def played(outcomes, request=GET, settings=None, tick=0.0):
    """Play the outcomes against a flow; return what it slept, its attempts and its result."""
    flow, reply, now, slept, tried = attempts(request, settings or policy()), None, 0.0, [], []
    outcomes = iter(outcomes)
    while True:
        try:
            action = flow.send(reply)
        except StopIteration as stop:
            return slept, tried, stop.value
        if isinstance(action, Attempt):
            tried.append(action)
            now += tick
            reply = next(outcomes)
        elif isinstance(action, Sleep):
            slept.append(action.seconds)
            now += action.seconds
            reply = None
        else:
            assert action == Now()
            reply = now


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_a_passing_status_is_tried_again(status):
    slept, tried, result = played([answer(status=status), answer(status=200)])
    assert (len(tried), result.status, slept) == (2, 200, [0.25])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 422])
def test_a_lasting_status_is_not_tried_again(status):
    _, tried, result = played([answer(status=status)])
    assert (len(tried), result.status) == (1, status)


@pytest.mark.parametrize("kind", ["connect", "read", "timeout", "protocol"])
def test_a_lost_answer_is_tried_again(kind):
    _, tried, result = played([TransportError(kind, "gone"), answer()])
    assert (len(tried), result.status) == (2, 200)


def test_a_reached_deadline_is_not_tried_again():
    assert len(played([TransportError("deadline", "late")])[1]) == 1


def test_there_are_two_retries_and_the_last_outcome_is_returned():
    _, tried, result = played([LOST, LOST, LOST])
    assert (len(tried), result) == (3, LOST)


def test_a_conflict_is_tried_again_only_where_the_server_says_so():
    assert len(played([answer(status=409, x_should_retry="true"), answer()])[1]) == 2
    assert len(played([answer(status=409)])[1]) == 1


def test_the_server_can_forbid_a_retry():
    assert len(played([answer(status=503, x_should_retry="false", retry_after="1")])[1]) == 1


def test_a_success_is_never_tried_again():
    assert len(played([answer(status=200, x_should_retry="true")])[1]) == 1


def test_the_key_is_minted_once_and_the_same_in_every_attempt():
    _, tried, _ = played([LOST, LOST, answer()], POST)
    assert [a.headers["idempotency-key"] for a in tried] == ["key-1"] * 3


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_all_that_changes_something_carries_a_key(method):
    _, tried, _ = played([answer()], Request(method, "/"))
    assert tried[0].headers["idempotency-key"] == "key-1"


def test_what_only_reads_carries_no_key():
    assert "idempotency-key" not in played([answer()])[1][0].headers


def test_the_callers_key_wins():
    request = Request("POST", "/", options={"idempotency_key": "mine"})
    assert played([answer()], request)[1][0].headers["idempotency-key"] == "mine"


def test_the_headers_tell_the_number_of_the_attempt():
    flow = attempts(GET, policy())
    first = flow.send(None).headers["x-lmaas-retry-count"]
    flow.send(LOST), flow.send(0.0)
    assert (first, flow.send(None).headers["x-lmaas-retry-count"]) == ("0", "1")


def test_extra_headers_win_in_every_attempt():
    request = Request("GET", "/", options={"extra_headers": {"X-Tag": "a", "x-lmaas-retry-count": "none"}})
    tried = played([LOST, answer()], request)[1]
    assert [a.headers["x-tag"] for a in tried] == ["a", "a"]


@given(st.integers(0, 40), st.floats(0, 1, exclude_max=True))
def test_backoff_doubles_up_to_8_seconds_and_halves_at_random(retry, uniform):
    full = min(8.0, 0.5 * 2.0**retry)
    assert full / 2 <= backoff(retry, uniform) <= full


def test_retry_after_ms_comes_before_retry_after():
    assert played([answer(status=429, retry_after_ms="1500", retry_after="9"), answer()])[0] == [1.5]


@pytest.mark.parametrize(("value", "slept"), [("7", [7.0]), ("60", [60.0]), ("0", [0.0])])
def test_retry_after_is_obeyed_up_to_a_minute(value, slept):
    assert played([answer(status=503, retry_after=value), answer()])[0] == slept


def test_a_longer_retry_after_is_not_waited_for():
    slept, tried, result = played([answer(status=429, retry_after="61")])
    assert (slept, len(tried), retry_after(result)) == ([], 1, 61.0)


def test_a_retry_after_date_is_measured_against_the_servers_clock():
    now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
    later = now.replace(second=7)
    found = answer(status=503, retry_after=format_datetime(later, usegmt=True), date=format_datetime(now, usegmt=True))
    assert retry_after(found) == 7.0


@given(st.text(max_size=40))
def test_any_retry_after_gives_seconds_or_nothing(text):
    seconds = retry_after(answer(status=503, retry_after=text))
    assert seconds is None or 0 <= seconds < float("inf")


@given(st.floats(0, 1e6))
def test_any_number_of_seconds_is_read_as_it_stands(seconds):
    assert retry_after(answer(status=503, retry_after=repr(seconds))) == seconds


def test_the_deadline_ends_the_retries_before_a_wait_that_would_pass_it():
    slept, tried, result = played([LOST, LOST], settings=policy(deadline=10.0, max_retries=9), tick=6.0)
    assert (len(tried), slept, result.kind) == (2, [0.25], "deadline")


def test_each_attempt_is_told_the_time_that_is_left():
    _, tried, _ = played([LOST, answer()], settings=policy(deadline=10.0), tick=6.0)
    assert [a.time_left for a in tried] == [10.0, 3.75]


def test_an_answer_speaks_for_itself_when_the_deadline_is_reached():
    result = played([answer(status=503)], settings=policy(deadline=1.0), tick=5.0)[2]
    assert result.status == 503


def test_the_calls_timeout_wins_over_the_clients():
    request = Request("GET", "/", options={"timeout": None})
    assert played([answer()], request)[1][0].timeout is None
    assert played([answer()], GET, policy(timeout=3.0))[1][0].timeout == 3.0


def test_an_empty_budget_stops_the_retries():
    settings = policy(budget=RetryBudget(capacity=1.0, per_second=0.0))
    assert len(played([LOST, LOST], settings=settings)[1]) == 2
    assert len(played([LOST], settings=settings)[1]) == 1


def test_the_budget_comes_back_with_time_and_with_success():
    budget = RetryBudget(capacity=2.0, per_second=0.5, per_success=0.25)
    assert [budget.take(0.0), budget.take(0.0), budget.take(0.0)] == [True, True, False]
    assert budget.take(2.0)
    for _ in range(4):
        budget.succeeded()
    assert budget.take(2.0)


def test_the_budget_never_exceeds_its_capacity():
    budget = RetryBudget(capacity=1.0)
    assert [budget.take(1e9), budget.take(1e9)] == [True, False]


def test_other_actions_of_a_flow_pass_through():
    def flow():
        yield Sleep(1.0)
        return (yield GET)

    running = retrying(flow(), policy())
    assert running.send(None) == Sleep(1.0)
    assert isinstance(running.send(None), Attempt)


def test_an_interrupt_reaches_the_flow():
    def flow():
        try:
            yield Sleep(1.0)
        except KeyboardInterrupt:
            return "tidied"

    running = retrying(flow(), policy())
    next(running)
    with pytest.raises(StopIteration) as stopped:
        running.throw(KeyboardInterrupt())
    assert stopped.value.value == "tidied"
