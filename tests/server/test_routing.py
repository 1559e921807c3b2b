"""Which version answers: shares hold, and a change of one moves only those whom it must."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmaas_server.records import DeploymentRecord
from lmaas_server.services.routing import Route

USERS = [f"user-{number}" for number in range(500)]
MODELS = ("a@1", "b@2", "c@3", "d@4")
weights = st.floats(0.01, 100)
names = st.text(min_size=1, max_size=8)


def route(shares, *, name="reader", shadows=()):
    """The way to a deployment of these versions and their weights; a shadow has one too."""
    variants = [{"model": model, "weight": weight, "role": "champion"} for model, weight in shares.items()]
    variants += [{"model": model, "weight": 5.0, "role": "shadow"} for model in shadows]
    record = DeploymentRecord(
        name=name, status="ready", variants=tuple(variants), revision=1, batching={}, metadata={}, created_at=0.0
    )
    return Route.of(record)


def chosen(shares, **more):
    way = route(shares, **more)
    return {user: way.choose(user) for user in USERS}


@settings(max_examples=30, deadline=None)
@given(st.lists(weights, min_size=2, max_size=4), names)
def test_the_shares_of_users_are_those_of_the_weights(some, name):
    shares = dict(zip(MODELS, some, strict=False))
    found = list(chosen(shares, name=name).values())
    for model, weight in shares.items():
        share = weight / sum(some)
        # Six standard deviations of 500 draws: not once in the age of the universe by chance.
        assert abs(found.count(model) / len(USERS) - share) <= 6 * (share * (1 - share) / len(USERS)) ** 0.5 + 1e-3


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 0.9), st.floats(1.0, 1.1), names)
def test_a_canary_that_grows_loses_nobody(share, growth, name):
    larger = share * growth
    before = chosen({"a@1": 1 - share, "b@2": share}, name=name)
    after = chosen({"a@1": 1 - larger, "b@2": larger}, name=name)
    assert all(after[user] == "b@2" for user, model in before.items() if model == "b@2")


def test_from_10_to_20_percent_one_user_in_ten_moves_and_all_of_them_to_the_canary():
    before, after = chosen({"a@1": 0.9, "b@2": 0.1}), chosen({"a@1": 0.8, "b@2": 0.2})
    moved = [user for user in USERS if before[user] != after[user]]
    assert {after[user] for user in moved} == {"b@2"}
    assert 0.05 < len(moved) / len(USERS) < 0.15


@settings(max_examples=30, deadline=None)
@given(weights, weights, weights, names)
def test_a_third_version_moves_nobody_between_the_others(first, second, third, name):
    two = chosen({"a@1": first, "b@2": second}, name=name)
    three = chosen({"a@1": first, "b@2": second, "c@3": third}, name=name)
    assert all(model in {two[user], "c@3"} for user, model in three.items())


@settings(max_examples=30, deadline=None)
@given(weights, weights, st.floats(0.01, 1000))
def test_weights_are_relative(first, second, factor):
    assert chosen({"a@1": first, "b@2": second}) == chosen({"a@1": first * factor, "b@2": second * factor})


@settings(max_examples=30, deadline=None)
@given(st.permutations([("a@1", 1.0), ("b@2", 2.0), ("c@3", 0.5)]))
def test_the_order_of_the_variants_says_nothing(shares):
    assert chosen(dict(shares)) == chosen({"a@1": 1.0, "b@2": 2.0, "c@3": 0.5})


def test_one_user_is_not_in_the_canary_of_every_deployment():
    found = [chosen({"a@1": 0.5, "b@2": 0.5}, name=name) for name in ("reader", "writer")]
    both = sum(found[0][user] == found[1][user] for user in USERS)
    assert 0.4 < both / len(USERS) < 0.6


@pytest.mark.parametrize("key", ["", "\0", "\ud800", "ü" * 256])
def test_any_user_has_a_version(key):
    assert route({"a@1": 1.0, "b@2": 1.0}).choose(key) in {"a@1", "b@2"}


def test_a_shadow_is_never_chosen():
    assert set(chosen({"a@1": 1.0, "b@2": 1.0}, shadows=["c@3"]).values()) == {"a@1", "b@2"}
    assert route({"a@1": 1.0}, shadows=["c@3"]).shadows == ("c@3",)
