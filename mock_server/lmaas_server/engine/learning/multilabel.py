"""Figures of models that give a row any number of classes. Knows no models and no files."""

from __future__ import annotations

import torch
from torch import Tensor

from lmaas_server.engine.data.examples import Json


def multilabel_figures(logits: Tensor, targets: Tensor, classes: list[int | str]) -> Json:
    """Return the metrics; a class is given where its probability is at least a half.

    `accuracy` counts rows whose classes are all right and no more (subset accuracy); `micro_f1` is over all classes of
    all rows; `macro_f1` is the mean over the classes that occur in truth or answer; `hamming_loss` is the share of
    single yes-or-no answers that are wrong.
    """
    said, true = logits >= 0, targets > 0.5  # noqa: PLR2004 - yes is 1 and no is 0
    hits = (said & true).sum(dim=0).double()  # (classes,)
    given, wanted = said.sum(dim=0).double(), true.sum(dim=0).double()
    f1 = _share(2 * hits, given + wanted)
    present = (given + wanted) > 0
    return {
        "accuracy": float((said == true).all(dim=1).float().mean()),
        "micro_f1": float(_share(2 * hits.sum(), (given + wanted).sum())),
        "macro_f1": float(f1[present].mean()) if present.any() else 1.0,
        "hamming_loss": float((said != true).float().mean()),
        "log_loss": float(torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)),
        "classes": classes,
        "per_class": [
            {"label": label, "precision": precision, "recall": recall, "f1": f, "rows": int(rows)}
            for label, precision, recall, f, rows in zip(
                classes,
                _share(hits, given).tolist(),
                _share(hits, wanted).tolist(),
                f1.tolist(),
                wanted.tolist(),
                strict=True,
            )
        ],
    }


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """Divide, with 0 where there is nothing to divide by."""
    return torch.where(whole > 0, part / whole.clamp(min=1), 0.0)
