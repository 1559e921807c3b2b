"""How good a model is on given rows, measured by torchmetrics. Knows no jobs.

torchmetrics takes about a second to import: this module is for processes that preload it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from lmaas_server.engine.bundle import Bundle, load_bundle
from lmaas_server.engine.data.examples import Examples, Json
from lmaas_server.engine.data.feed import feed_of
from lmaas_server.engine.data.kinds import check_same_inputs
from lmaas_server.engine.learning.multilabel import multilabel_figures
from lmaas_server.engine.learning.scoring import BATCH, outputs_of
from lmaas_server.engine.learning.setup import learned, relabelled
from lmaas_server.engine.learning.torch_metrics import (
    mean_absolute_error,
    mean_squared_error,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
    r2_score,
)
from lmaas_server.engine.learning.values import ValueScale
from lmaas_server.errors import InvalidError

_MOST_SLICES = 50
_MOST_CLASSES = 1000
"""Above it the confusion matrix alone would be a million numbers of JSON; it is left out."""


def evaluate(
    bundle: Path,
    examples: Examples,
    batch_size: int | None = None,
    *,
    slice_by: str | None = None,
    slices: Sequence[str] = (),
) -> Json:
    """Return the metrics of the model in `bundle` on `examples`, as JSON-able numbers.

    Classification: `accuracy`, `macro_f1` over the classes that occur, `log_loss`, `calibration_error` (15 bins),
    `confusion_matrix` (rows: truth, columns: answer, in the order of `classes`) and `per_class`. Regression: `mae`,
    `rmse`, `r2` (averaged over the outputs) and `per_output` where there are several. Several classes a row:
    `multilabel_figures`. Where `slices` gives the value of the column `slice_by` in each row, `slices` holds the single
    figures of the rows of each of its most frequent values.

    Raises:
        InvalidError: the rows do not fit the model, or hold classes it does not know.
    """
    model = load_bundle(bundle, buffers=False)
    check_fits(model, examples)
    known = relabelled(examples, list(model.target.get("classes", ())))
    scale = ValueScale.from_json(model.values) if model.values else None
    feed = feed_of(model.preprocessing)
    outputs = outputs_of(model.network(), feed, feed.hold(known.inputs), batch_size or BATCH)
    targets = learned(known.targets, scale)
    figures = {"rows": len(examples), **figures_of(outputs, targets, model.target, scale)}
    if slice_by is not None:
        found = [
            {"value": value, "rows": len(rows)} | _single(figures_of(outputs[rows], targets[rows], model.target, scale))
            for value, rows in _rows_by(slices)
        ]
        figures["slices"] = {"column": slice_by, "values": found}
    return figures


def _rows_by(slices: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Return the rows of each value, the most frequent first."""
    rows: dict[str, list[int]] = {}
    for row, value in enumerate(slices):
        rows.setdefault(value, []).append(row)
    return sorted(rows.items(), key=lambda item: (-len(item[1]), item[0]))[:_MOST_SLICES]


def _single(figures: Json) -> Json:
    return {name: value for name, value in figures.items() if isinstance(value, int | float)}


def check_fits(model: Bundle, examples: Examples) -> None:
    """Refuse rows of another kind or shape than the model takes, and targets of another kind."""
    check_same_inputs(examples.input, model.input, what="the model", param="dataset")
    if any(examples.target.get(key) != model.target.get(key) for key in ("kind", "shape", "multiple")):
        raise InvalidError(
            f"the dataset's targets are {examples.target}; the model gives {model.target['kind']}"
            f" {model.target.get('shape', '')}",
            code="target_mismatch",
            param="dataset",
        )


def figures_of(outputs: Tensor, targets: Tensor, target: Json, scale: ValueScale | None) -> Json:
    """Return the metrics of a network's outputs; `targets` are as the network learns them."""
    if target.get("multiple"):
        return multilabel_figures(outputs, targets, list(target["classes"]))
    if scale is None:
        return _classification(outputs, targets, list(target["classes"]))
    return _regression(scale.restore(outputs), scale.restore(targets))


def _classification(logits: Tensor, targets: Tensor, classes: list[int | str]) -> Json:
    count = len(classes)
    matrix = multiclass_confusion_matrix(logits, targets, num_classes=count)
    probabilities = logits.softmax(dim=1)
    figures: Json = {
        "accuracy": float(matrix.diagonal().sum() / matrix.sum()),
        "macro_f1": _present_mean(multiclass_f1_score(logits, targets, num_classes=count, average="none"), matrix),
        "log_loss": float(torch.nn.functional.cross_entropy(logits, targets)),
        "calibration_error": float(multiclass_calibration_error(probabilities, targets, num_classes=count)),
    }
    if count <= _MOST_CLASSES:
        figures["classes"] = classes
        figures["confusion_matrix"] = matrix.tolist()
        figures["per_class"] = _per_class(logits, targets, matrix, classes)
    return figures


def _present_mean(scores: Tensor, matrix: Tensor) -> float:
    """Average over the classes that occur in truth or answer: an absent class is neither right nor wrong."""
    present = (matrix.sum(dim=0) + matrix.sum(dim=1)) > 0
    return float(scores[present].mean())


def _per_class(logits: Tensor, targets: Tensor, matrix: Tensor, classes: list[int | str]) -> list[Json]:
    columns = [
        score(logits, targets, num_classes=len(classes), average="none").tolist()
        for score in (multiclass_precision, multiclass_recall, multiclass_f1_score)
    ]
    return [
        {"label": label, "precision": precision, "recall": recall, "f1": f1, "rows": rows}
        for label, precision, recall, f1, rows in zip(classes, *columns, matrix.sum(dim=1).tolist(), strict=True)
    ]


def _regression(values: Tensor, targets: Tensor) -> Json:
    squares = mean_squared_error(values, targets, num_outputs=targets.shape[1]).reshape(-1)
    absolutes = [float(mean_absolute_error(values[:, i], targets[:, i])) for i in range(targets.shape[1])]
    r2 = _r2(values, targets)
    figures: Json = {
        "mae": sum(absolutes) / len(absolutes),
        "rmse": math.sqrt(float(squares.mean())),
        "r2": sum(r2) / len(r2),
    }
    if len(r2) > 1:
        rmse = squares.sqrt().tolist()
        figures["per_output"] = [{"mae": a, "rmse": b, "r2": c} for a, b, c in zip(absolutes, rmse, r2, strict=True)]
    return figures


def _r2(values: Tensor, targets: Tensor) -> list[float]:
    """Return R2 of each output; 0 where the targets do not vary, so that nothing can be explained."""
    if len(targets) == 1:
        return [0.0] * targets.shape[1]
    scores = r2_score(values, targets, multioutput="raw_values").reshape(-1)
    varies = targets.std(dim=0) > 0
    return torch.where(varies & scores.isfinite(), scores, 0.0).tolist()
