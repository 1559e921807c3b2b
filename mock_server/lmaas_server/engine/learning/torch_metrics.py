"""What we use of torchmetrics, without the libraries it would bring along. Knows no model and no rows.

It imports whatever it finds of forty others; three of them take more than half of its time (1.2 of 2.1 s of processor
time), and none has to do with what is measured here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lightning_utilities.core.imports import RequirementCache

__all__ = [
    "mean_absolute_error",
    "mean_squared_error",
    "multiclass_calibration_error",
    "multiclass_confusion_matrix",
    "multiclass_f1_score",
    "multiclass_precision",
    "multiclass_recall",
    "r2_score",
]

_UNWANTED = ("matplotlib", "scipy", "transformers")


@contextmanager
def _unseen(names: tuple[str, ...]) -> Iterator[None]:
    """Have torchmetrics not find these libraries, which it asks for by a cache of what is installed.

    Should a later release ask otherwise, it finds them, and loading it takes as long as it would without this.
    """
    found = RequirementCache.__bool__

    def is_wanted(cache: RequirementCache) -> bool:
        asked = getattr(cache, "requirement", None) or ""
        return not asked.startswith(names) and found(cache)

    RequirementCache.__bool__ = is_wanted  # type: ignore[assignment, method-assign]  # it has no switch
    try:
        yield
    finally:
        RequirementCache.__bool__ = found  # type: ignore[method-assign]  # as it was


with _unseen(_UNWANTED):
    from torchmetrics.functional.classification import (
        multiclass_calibration_error,
        multiclass_confusion_matrix,
        multiclass_f1_score,
        multiclass_precision,
        multiclass_recall,
    )
    from torchmetrics.functional.regression import mean_absolute_error, mean_squared_error, r2_score
