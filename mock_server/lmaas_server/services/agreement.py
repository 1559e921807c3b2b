"""How far a shadow says what was answered: labels, sets of labels, texts and values compared. Pure; knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lmaas_server.records import Json
from lmaas_server.services.npy import Array

__all__ = ["Agreement", "of_arrays", "of_outputs"]


class Agreement(NamedTuple):
    """What a comparison found."""

    compared: int = 0
    """Rows of labels or texts that were compared."""
    agreed: int = 0
    """Of those, the ones with the same answer."""
    measured: int = 0
    """Rows of values that were compared."""
    difference: float = 0.0
    """The sum over those rows of their mean absolute difference."""


def of_outputs(answered: Sequence[Json], shadowed: Sequence[Json]) -> Agreement:
    """Compare outputs row by row.

    A row that was answered by an error says nothing. A label or a text that the shadow has an error for does not agree;
    a value that it has an error for cannot be measured.
    """
    compared = agreed = measured = 0
    difference = 0.0
    for ours, theirs in zip(answered, shadowed, strict=False):
        if "error" in ours:
            continue
        if "value" in ours:
            if "value" in theirs:
                measured += 1
                difference += _distance(ours["value"], theirs["value"])
            continue
        compared += 1
        agreed += _said(ours) == _said(theirs)
    return Agreement(compared, agreed, measured, difference)


def of_arrays(
    answered: Array, shadowed: Array, *, classes: Sequence[int | str], shadow_classes: Sequence[int | str]
) -> Agreement:
    """Compare (rows, classes) of probabilities by their likeliest class, or (rows, *shape) of values.

    Args:
        answered: What was answered; rows of NaN are errors and say nothing.
        shadowed: What the shadow says.
        classes: What the columns of `answered` stand for; none of values.
        shadow_classes: What those of `shadowed` stand for: a version may know more classes, or in another order.
    """
    import numpy as np

    within = tuple(range(1, answered.ndim))  # the axes of a row
    sound, answers = (np.asarray(~np.isnan(array).any(axis=within)) for array in (answered, shadowed))
    if not classes:
        both = sound & answers
        gaps = np.abs(answered[both].astype(np.float64) - shadowed[both]).mean(axis=within)
        return Agreement(measured=len(gaps), difference=float(gaps.sum()))
    ours = np.argmax(np.nan_to_num(answered, nan=-1.0), axis=1).tolist()
    theirs = np.argmax(np.nan_to_num(shadowed, nan=-1.0), axis=1).tolist()
    agreed = sum(
        bool(sound[row] and answers[row]) and classes[one] == shadow_classes[other]
        for row, (one, other) in enumerate(zip(ours, theirs, strict=True))
    )
    return Agreement(compared=int(sound.sum()), agreed=agreed)


def _said(output: Json) -> object:
    """Return what an output says, without how sure it is of it; an error says nothing that anybody else does."""
    if "labels" in output:
        return frozenset(output["labels"])
    return next(((word, output[word]) for word in ("label", "text") if word in output), None)


def _distance(value: object, other: object) -> float:
    import numpy as np

    return float(np.abs(np.asarray(value, dtype=float) - np.asarray(other, dtype=float)).mean())
