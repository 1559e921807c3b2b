"""Whether a candidate may replace the champion: two tests on the same rows. Knows no models and no feedback.

(A) on rows that training never saw, the one-sided lower bound of the change must be above a small loss;
(B) on feedback that the update never saw, the candidate must be better by McNemar's test.

A candidate that fails (A) is a `regression` where it lost what it may not lose, and `insufficient_evidence` where the
holdout is too small to tell; `tolerated` says how small that is.

Models that give values are judged by the same two tests: (A) on the change of absolute error in
deviations of the training targets, (B) on which of the two comes closer, row by row, which makes it the sign test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from lmaas.types import Gate
from lmaas_server.engine.data.examples import Array, Json

ALPHAS = (1.0, 0.9, 0.8, 0.7, 0.5, 0.3)
"""Shares of the way from champion to candidate that are tried, in this order, until one passes (A)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The outcome of (A)."""

    rows: int
    champion: float
    candidate: float
    lower_bound: float
    passed: bool
    lost: bool
    """Whether the change itself, and not only its bound, is beyond what may be lost."""

    def to_json(self) -> Json:
        """Return the outcome for a job's result."""
        return {
            "rows": self.rows,
            "champion": self.champion,
            "candidate": self.candidate,
            "change": self.candidate - self.champion,
            "lower_bound": self.lower_bound,
            "passed": self.passed,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """The outcome of (B): rows that only the candidate (`won`) or only the champion (`lost`) has right."""

    rows: int
    champion: float
    candidate: float
    won: int
    lost: int
    p_value: float
    passed: bool

    def to_json(self) -> Json:
        """Return the outcome for a job's result."""
        return {
            "rows": self.rows,
            "champion": self.champion,
            "candidate": self.candidate,
            "won": self.won,
            "lost": self.lost,
            "p_value": self.p_value,
            "passed": self.passed,
        }


def check_anchor(champion: Array, candidate: Array, gate: Gate) -> Anchor:
    """Test (A) on scores per row of the holdout (1 for right, or minus the relative error): more is better."""
    change = candidate - champion
    bound = lower_bound(change, gate.confidence)
    return Anchor(
        rows=len(change),
        champion=_mean(champion),
        candidate=_mean(candidate),
        lower_bound=bound,
        passed=bool(len(change)) and bound > -gate.max_anchor_drop,
        lost=_mean(change) <= -gate.max_anchor_drop,
    )


def check_fresh(champion: Array, candidate: Array, gate: Gate) -> Fresh:
    """Test (B) on scores per row of the fresh holdout: more is better."""
    won, lost = int((candidate > champion).sum()), int((candidate < champion).sum())
    p_value = mcnemar(won, lost)
    return Fresh(
        rows=len(champion),
        champion=_mean(champion),
        candidate=_mean(candidate),
        won=won,
        lost=lost,
        p_value=p_value,
        passed=won > lost and p_value < gate.significance,
    )


def reason_of(anchor: Anchor, fresh: Fresh | None) -> str:
    """Say in a word what came of it: `promoted`, `regression`, `no_improvement` or `insufficient_evidence`."""
    if not anchor.rows:
        return "insufficient_evidence"
    if not anchor.passed:
        return "regression" if anchor.lost else "insufficient_evidence"
    if fresh is None or not fresh.rows:
        return "insufficient_evidence"
    if fresh.passed:
        return "promoted"
    return "insufficient_evidence" if fresh.won > fresh.lost else "no_improvement"


def lower_bound(change: Array, confidence: float) -> float:
    """Return the one-sided lower bound of the mean of paired changes, by the normal approximation.

    Without any change the sample deviation is 0 and so would be the bound's width; like all bounds on few rows it
    means little below some hundreds of rows.
    """
    if len(change) <= 1:
        return -math.inf
    width = NormalDist().inv_cdf(confidence) * float(change.std(ddof=1)) / math.sqrt(len(change))
    return float(change.mean()) - width


def tolerated(rows: int, gate: Gate) -> int:
    """Return how many answers to so many rows may change, half of them for the better, before (A) cannot pass.

    The bound of m changes that balance is z sqrt(m) / rows below 0: of 180 rows one answer may change, of 540 ten.
    """
    return max(0, math.ceil((rows * gate.max_anchor_drop / NormalDist().inv_cdf(gate.confidence)) ** 2) - 1)


def mcnemar(won: int, lost: int) -> float:
    """Return the two-sided mid-p value of McNemar's test: how odd `won` to `lost` is by chance alone.

    McNemar (1947), with half the probability of what was seen left out of each tail: the exact test holds its level by
    staying far below it where few rows differ, and the mid-p value is what Fagerland, Lydersen and Laake, "The McNemar
    test for binary matched-pairs data: mid-p and asymptotic are better than exact conditional" (BMC Medical Research
    Methodology 13:91, 2013), recommend in its place; it never exceeded its level in their 9,595 cases.
    """
    total, least = won + lost, min(won, lost)
    if total == 0:
        return 1.0
    tail = term = 1
    for k in range(least):
        term = term * (total - k) // (k + 1)  # the binomial coefficients one from the other
        tail += term
    # Integers throughout: 2**-total alone underflows beyond a thousand rows.
    return (2 * tail - term) / (1 << total)


def _mean(scores: Array) -> float:
    return float(np.mean(scores)) if len(scores) else 0.0
