"""What a retraining is to forget: classes that nothing names any more. Knows no training and no gate.

A class that feedback brought lasts as long as something says it: the dataset, what is still remembered, or feedback
that still stands. Where it was retracted, the retrained model has no output for it. Other strategies go on from the
champion's weights and keep every class, since old outputs keep their meaning.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import torch

from lmaas_server.engine.bundle import Bundle, Tensors
from lmaas_server.engine.data.examples import Array, Examples
from lmaas_server.engine.learning.buffers import SCORES
from lmaas_server.engine.learning.signals import Signals


def still_named(champion: Bundle, examples: Examples, signals: Signals, gone: Collection[str]) -> list[int | str]:
    """Return the champion's classes that the dataset, its memory without `gone`, or the new rows name.

    Args:
        champion: The model to retrain.
        examples: The dataset of its first training.
        signals: What stands of feedback, read for all of the champion's classes.
        gone: Ids of remembered feedback that is retracted or replaced.
    """
    classes = list(champion.target.get("classes", ()))
    names = champion.buffers_info.get("reservoir_ids", [])
    kept = [index for index, name in enumerate(names) if name not in gone]
    named = set(examples.classes)
    if kept:
        named |= _named(champion.targets("reservoir")[kept], signals.classes)
    named |= _named(signals.fresh.targets[~signals.fresh.against], signals.classes)
    return [label for label in classes if label in named]


def narrowed(champion: Bundle, classes: list[int | str]) -> Bundle:
    """Return the champion with those of its outputs alone that stand for `classes`, which keep their meaning."""
    old = list(champion.target.get("classes", ()))
    if old == classes:
        return champion
    places = torch.tensor([old.index(label) for label in classes])
    weights = {
        name: tensor[places] if name in {"output.weight", "output.bias"} else tensor
        for name, tensor in champion.weights.items()
    }
    target = {**champion.target, "classes": classes}
    return replace(champion, target=target, weights=weights, buffers=_narrowed_buffers(champion, places))


def _narrowed_buffers(champion: Bundle, places: torch.Tensor) -> Tensors:
    buffers = {name: tensor for name, tensor in champion.buffers.items() if name != SCORES}
    buffers["anchor.outputs"] = buffers["anchor.outputs"][:, places]
    for part in ("anchor", "holdout", "reservoir"):
        name = f"{part}.targets"
        if name not in buffers:
            continue
        if champion.target.get("multiple"):
            buffers[name] = buffers[name][:, places]
        else:
            # A row of a class that is gone is itself gone from what is remembered; its index only has to be one.
            index_of = torch.zeros(len(champion.target["classes"]), dtype=torch.int64)
            index_of[places] = torch.arange(len(places))
            buffers[name] = index_of[buffers[name]]
    return buffers


def _named(targets: Array, classes: Collection[int | str]) -> set[int | str]:
    """Return the classes of rows: indices, or a row of 0 and 1 for each."""
    if not len(targets):
        return set()
    found = np.flatnonzero(targets.any(axis=0)) if targets.ndim > 1 else np.unique(targets)
    labels = list(classes)
    return {labels[index] for index in found.tolist()}
