"""The test of canaries: exact, seldom wrong over all its looks, and quick where a version is really worse."""

from __future__ import annotations

from math import comb, isclose

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.services.looks import chance_beyond, chance_of_worse, error_of_look, size_of_look

COUNTS = st.integers(0, 40)


@given(bad=COUNTS, good=COUNTS, other_bad=COUNTS, other_good=COUNTS)
def test_the_chance_of_worse_is_that_of_fisher(bad, good, other_bad, other_good):
    total, other, wrong = bad + good, other_bad + other_good, bad + other_bad
    ways = sum(comb(wrong, k) * comb(total + other - wrong, total - k) for k in range(bad, min(wrong, total) + 1))
    exact = ways / comb(total + other, total) if total and other else 1.0
    assert isclose(chance_of_worse(bad, total, other_bad=other_bad, other_total=other), exact, rel_tol=1e-9)


@given(total=st.integers(1, 60), share=st.floats(0.001, 0.9), data=st.data())
def test_the_chance_beyond_a_budget_is_that_of_the_binomial(total, share, data):
    bad = data.draw(st.integers(0, total))
    exact = sum(comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(bad, total + 1))
    assert isclose(chance_beyond(bad, total, share=share), exact, rel_tol=1e-9, abs_tol=1e-15)


def test_large_counts_cost_no_more_than_their_tail():
    assert 0.4 < chance_of_worse(100_000, 1_000_000, other_bad=100_000, other_total=1_000_000) < 0.6
    assert chance_beyond(10_000, 10_000, share=0.02) < 1e-300


def test_all_looks_together_spend_no_more_than_the_error_allowed():
    assert [size_of_look(look, first=100) for look in (1, 2, 3)] == [100, 200, 400]
    assert sum(error_of_look(look, significance=0.05) for look in range(1, 60)) <= 0.05


def look_that_finds_it(rng, *, canary: float, champion: float, ratio: int, looks: int) -> int | None:
    """The look at which a canary of this share of wrong answers is taken back; `ratio` labels of the champion each."""
    labels = size_of_look(looks, first=100)
    ours = rng.random(labels) < canary
    theirs = rng.random(labels * ratio) < champion
    for look in range(1, looks + 1):
        n = size_of_look(look, first=100)
        chance = chance_of_worse(
            int(ours[:n].sum()), n, other_bad=int(theirs[: n * ratio].sum()), other_total=n * ratio
        )
        if chance < error_of_look(look, significance=0.05):
            return look
    return None


def test_a_canary_as_good_as_its_champion_is_taken_back_in_at_most_one_case_of_twenty():
    rng = np.random.default_rng(0)
    for error in (0.02, 0.1, 0.3):
        for ratio in (1, 9):
            found = [
                look_that_finds_it(rng, canary=error, champion=error, ratio=ratio, looks=5) is not None
                for _ in range(300)
            ]
            assert sum(found) <= 0.05 * len(found)


def test_ten_points_more_are_found_by_the_400th_label_in_most_cases():
    rng = np.random.default_rng(1)
    for error in (0.02, 0.1, 0.3):
        found = [
            look_that_finds_it(rng, canary=error + 0.1, champion=error, ratio=9, looks=3) is not None
            for _ in range(300)
        ]
        assert sum(found) >= 0.8 * len(found)
