"""When a policy calls for an update: as a pure rule, and over every history that feedback and updates can have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas.types import UpdatePolicySpec
from lmaas_server.services.triggers import Standing, called_for, next_moment

NOW = 1000.0


def cause(policy, *, now=NOW, **standing):
    """What calls for an update; None where nothing does."""
    standing = {"fresh": 10, "older": 0, "since": 900.0, **standing}
    trigger = called_for(UpdatePolicySpec(**policy), Standing(**standing), now)
    return None if trigger is None else trigger.cause


@pytest.mark.parametrize(
    ("policy", "standing", "expected"),
    [
        ({"min_feedback": 10}, {}, "feedback"),
        ({"min_feedback": 11}, {}, None),
        ({"min_feedback": 11}, {"older": 500}, None),
        ({"every_seconds": 100}, {}, "time"),
        ({"every_seconds": 101}, {}, None),
        ({"every_seconds": 100}, {"fresh": 0, "older": 7}, None),
        ({"on_drift": True}, {}, None),
        ({"on_drift": True}, {"alarm": "evt-1"}, "drift"),
        ({"on_drift": True}, {"alarm": "evt-1", "fresh": 0}, None),
        ({"on_drift": True}, {"alarm": "evt-1", "tried": True, "older": 11}, None),
        ({"on_drift": True}, {"alarm": "evt-1", "tried": True, "older": 10}, "drift"),
        ({"min_feedback": 5}, {"alarm": "evt-1"}, "feedback"),
        ({"min_feedback": 5, "every_seconds": 1, "on_drift": True}, {"alarm": "evt-1"}, "drift"),
    ],
)
def test_a_policy_calls_for_an_update(policy, standing, expected):
    assert cause(policy, **standing) == expected


def test_the_moment_that_time_calls_is_known_while_something_is_there_to_learn():
    policy = UpdatePolicySpec(every_seconds=60)
    assert next_moment(policy, Standing(fresh=1, older=0, since=900.0)) == 960.0
    assert next_moment(policy, Standing(fresh=0, older=5, since=900.0)) is None
    assert next_moment(UpdatePolicySpec(min_feedback=5), Standing(fresh=1, older=0, since=900.0)) is None


@given(
    batches=st.lists(st.integers(0, 30), min_size=1, max_size=30),
    held=st.lists(st.booleans(), min_size=31, max_size=31),
    needed=st.integers(1, 40),
)
def test_every_item_is_taken_once_in_groups_of_at_least_so_many(batches, held, needed):
    policy, fresh, older, taken = UpdatePolicySpec(min_feedback=needed), 0, 0, []
    for count, came_to_nothing in zip(batches, held, strict=False):
        fresh += count
        if called_for(policy, Standing(fresh=fresh, older=older, since=0.0), NOW):
            taken.append(fresh)
            older = older + fresh if came_to_nothing else 0
            fresh = 0
    assert all(group >= needed for group in taken)
    assert sum(taken) + fresh == sum(batches)
    assert fresh < needed


@given(items=st.integers(1, 5000))
def test_an_alarm_that_is_answered_in_vain_is_tried_again_as_seldom_as_what_there_is_doubles(items):
    policy, fresh, older, tries = UpdatePolicySpec(on_drift=True), 0, 0, 0
    for _ in range(items):
        fresh += 1
        if called_for(policy, Standing(fresh=fresh, older=older, since=0.0, alarm="evt-1", tried=tries > 0), NOW):
            tries, older, fresh = tries + 1, older + fresh, 0
    assert 2 ** (tries - 1) <= items < 2**tries
