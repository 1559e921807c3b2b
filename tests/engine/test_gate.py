"""The promotion gate's two tests and its word for the outcome."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from lmaas.types import Gate
from lmaas_server.engine.learning.gate import check_anchor, check_fresh, lower_bound, mcnemar, reason_of


def rows(right, wrong):
    return np.array([1.0] * right + [0.0] * wrong)


@given(won=st.integers(0, 200), lost=st.integers(0, 200))
def test_mcnemar_is_the_exact_binomial_test(won, lost):
    expected = binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert mcnemar(won, lost) == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_mcnemar_holds_for_thousands_of_rows():
    assert mcnemar(2600, 2400) == pytest.approx(binomtest(2600, 5000).pvalue)


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


@pytest.mark.parametrize(("won", "passed"), [(5, False), (6, True)])
def test_six_wins_without_a_loss_are_the_least_evidence(won, passed):
    assert check_fresh(rows(0, 20), rows(won, 20 - won), Gate()).passed is passed


def test_a_worse_candidate_never_passes_however_sure():
    assert not check_fresh(rows(50, 0), rows(0, 50), Gate()).passed


@pytest.mark.parametrize(
    ("anchor", "fresh", "reason"),
    [
        ((rows(0, 0), rows(0, 0)), None, "insufficient_evidence"),
        ((rows(99, 1), rows(50, 50)), None, "regression"),
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
