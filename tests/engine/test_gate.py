"""The promotion gate's two tests and its word for the outcome."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from lmaas.types import Gate
from lmaas_server.engine.learning.gate import check_anchor, check_fresh, lower_bound, mcnemar, reason_of, tolerated


def rows(right, wrong):
    return np.array([1.0] * right + [0.0] * wrong)


@given(won=st.integers(0, 200), lost=st.integers(0, 200))
def test_mcnemar_leaves_half_of_what_was_seen_out_of_each_tail_of_the_exact_test(won, lost):
    total = won + lost
    expected = binomtest(won, total).pvalue - binom.pmf(won, total, 0.5) if won != lost else 1.0
    assert mcnemar(won, lost) == pytest.approx(expected, rel=1e-6, abs=1e-15)


def test_mcnemar_agrees_with_the_paper_it_is_from():
    """Fagerland, Lydersen and Laake (2013), airway hyper-responsiveness: 1 child to 7, mid-p .039 (exact .070)."""
    assert mcnemar(7, 1) == pytest.approx(0.0390625)


def test_mcnemar_holds_for_thousands_of_rows():
    expected = binomtest(2600, 5000).pvalue - binom.pmf(2600, 5000, 0.5)
    assert mcnemar(2600, 2400) == pytest.approx(expected)


@pytest.mark.parametrize("changed", range(1, 60))
def test_useless_candidates_seldom_pass_for_better(changed):
    """Of updates that change so many answers by chance; the level has two sides, and 2.5 % is this one's."""
    wins = [won for won in range(changed + 1) if won > changed - won and mcnemar(won, changed - won) < 0.05]
    assert binom.pmf(wins, changed, 0.5).sum() < 0.04


def test_the_bound_is_the_normal_one():
    change = np.array([1.0] * 10 + [-1.0] * 20 + [0.0] * 970)
    expected = -0.01 - 1.6448536 * change.std(ddof=1) / np.sqrt(1000)
    assert lower_bound(change, 0.95) == pytest.approx(expected)


def test_nothing_lost_passes_the_anchor():
    assert check_anchor(rows(90, 10), rows(90, 10), Gate()).passed


def test_two_points_lost_fail_the_anchor():
    assert not check_anchor(rows(980, 20), rows(960, 40), Gate()).passed


def test_few_rows_do_not_excuse_a_loss():
    assert not check_anchor(rows(50, 0), rows(49, 1), Gate()).passed


def test_a_larger_drop_can_be_allowed():
    assert check_anchor(rows(980, 20), rows(960, 40), Gate(max_anchor_drop=0.05)).passed


@pytest.mark.parametrize(("won", "passed"), [(4, False), (5, True)])
def test_five_wins_without_a_loss_are_the_least_evidence(won, passed):
    assert check_fresh(rows(0, 20), rows(won, 20 - won), Gate()).passed is passed


def test_a_worse_candidate_never_passes_however_sure():
    assert not check_fresh(rows(50, 0), rows(0, 50), Gate()).passed


@pytest.mark.parametrize("count", [100, 180, 360, 541, 2000])
def test_as_many_answers_may_change_as_is_said(count):
    def passes(changed):
        change = rows(count, 0)
        before, after = change.copy(), change.copy()
        before[: changed // 2], after[changed // 2 : changed] = 0, 0
        return check_anchor(before, after, Gate()).passed

    most = tolerated(count, Gate()) // 2 * 2
    assert passes(most)
    assert not passes(most + 2)


@pytest.mark.parametrize(
    ("anchor", "fresh", "reason"),
    [
        ((rows(0, 0), rows(0, 0)), None, "insufficient_evidence"),
        ((rows(99, 1), rows(50, 50)), None, "regression"),
        ((rows(180, 20), rows(179, 21)), None, "insufficient_evidence"),
        ((rows(99, 1), rows(99, 1)), (rows(0, 0), rows(0, 0)), "insufficient_evidence"),
        ((rows(99, 1), rows(99, 1)), (rows(5, 5), rows(7, 3)), "insufficient_evidence"),
        ((rows(99, 1), rows(99, 1)), (rows(5, 5), rows(5, 5)), "no_improvement"),
        ((rows(99, 1), rows(99, 1)), (rows(5, 5), rows(3, 7)), "no_improvement"),
        ((rows(99, 1), rows(99, 1)), (rows(1, 19), rows(19, 1)), "promoted"),
    ],
)
def test_each_outcome_has_its_word(anchor, fresh, reason):
    tested = check_fresh(*fresh, Gate()) if fresh else None
    assert reason_of(check_anchor(*anchor, Gate()), tested) == reason
