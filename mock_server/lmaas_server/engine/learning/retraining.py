"""What learning from feedback asks of the first training, of labels and of texts alike. Knows no model and no rows."""

from __future__ import annotations

import json
from collections.abc import Iterable

from torch import Tensor

from lmaas.types import TrainingRequest, UpdateRequest, Validation
from lmaas_server.engine.data.examples import Examples, Json
from lmaas_server.errors import InvalidError


def first_rows(examples: Examples | None) -> Examples:
    """Return the rows of the first training.

    Raises:
        InvalidError: `dataset_needed`, where there are none any more.
    """
    if examples is None:
        raise InvalidError(
            "retrain starts from the training data, and its dataset is gone; use replay_distill",
            code="dataset_needed",
            param="strategy",
        )
    return examples


def first_request(training: Json) -> TrainingRequest:
    """Return the request of the first training, as the bundle keeps it."""
    return TrainingRequest.model_validate_json(json.dumps(training))


def changed(first: TrainingRequest, request: UpdateRequest, *, held: bool) -> TrainingRequest:
    """Return the first training's request as an update wants it again; `held`: with the rows held out before."""
    changes: Json = {"seed": request.seed or 0, "validation": Validation(dataset="holdout") if held else None}
    changes |= {"optimizer": request.optimizer} if request.optimizer else {}
    changes |= {"epochs": request.epochs} if request.epochs else {}
    return first.model_copy(update=changes)


def check_finite(weights: Iterable[Tensor]) -> None:
    """Refuse weights that are no numbers any more.

    Raises:
        InvalidError: `diverged`.
    """
    if not all(bool(tensor.isfinite().all()) for tensor in weights):
        raise InvalidError(
            "the weights became infinite; use a smaller learning rate", code="diverged", param="optimizer.lr"
        )
