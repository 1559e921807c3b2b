"""Whether one of two versions is worse, by counts that keep coming: exact tests at looks that double. Knows no storage.

A test that is repeated as figures come finds a difference in the end where there is none. So they are looked at only
when there are 100 of them, 200, 400 and so on, and each look spends half of the error that is left: .025, .0125, ...
of .05. Whatever the looks have to do with each other, all of them together are wrong in at most 5 % of the cases
(Bonferroni); the spending of error over looks is Lan and DeMets, Biometrika 70 (1983). A look is at exactly so many
figures and no others, so it comes out the same whoever looks, and however late.

    Fisher's exact test, one-sided: of so many bad ones in all, this many or more fell on the one by chance.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, lgamma, log, log1p

__all__ = ["chance_beyond", "chance_of_worse", "error_of_look", "size_of_look"]

_NEGLIGIBLE = 1e-16


def size_of_look(look: int, *, first: int) -> int:
    """Return how many figures the look numbered `look`, from 1, is at."""
    return int(first * 2 ** (look - 1))


def error_of_look(look: int, *, significance: float) -> float:
    """Return the chance that the look numbered `look`, from 1, may err with, of all that there will ever be."""
    return float(significance / 2**look)


def chance_of_worse(bad: int, total: int, *, other_bad: int, other_total: int) -> float:
    """Return the chance of `bad` or more among `total`, were the bad ones of both dealt out blindly.

    Small where the one is worse than the other; 1 where there is nothing to compare with.
    """
    whole, wrong = total + other_total, bad + other_bad
    most = min(total, wrong)
    if not total or not other_total:
        return 1.0
    terms = (
        _log_choose(wrong, share) + _log_choose(whole - wrong, total - share) - _log_choose(whole, total)
        for share in range(bad, most + 1)
        if total - share <= whole - wrong
    )
    return _sum(terms)


def chance_beyond(bad: int, total: int, *, share: float) -> float:
    """Return the chance of `bad` or more among `total` if each were bad with the chance `share`."""
    if bad <= 0:
        return 1.0
    terms = (
        _log_choose(total, count) + count * log(share) + (total - count) * log1p(-share)
        for count in range(bad, total + 1)
    )
    return _sum(terms)


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _sum(logarithms: Iterable[float]) -> float:
    """Add up the terms of a tail, which rise at most to a peak and then fall for good."""
    total = before = 0.0
    for one in logarithms:
        term = exp(one)
        total += term
        if term < before and term < total * _NEGLIGIBLE:
            break
        before = term
    return min(1.0, total)
