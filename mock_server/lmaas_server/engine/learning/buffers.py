"""Rows kept with a model version so that it can learn from feedback without forgetting. Knows no update.

    anchor     up to 1,000 training rows, balanced over the classes, with the outputs that the training gave them
    holdout    rows that training never saw: the validation rows, at most 10,000 of them and 64 MB, with the scores
               of the model's own answers, which the gate holds every candidate's against
    reservoir  up to 2,000 rows of feedback that earlier updates learned from; empty after a training

The holdout measures what an update would cost. learning.md asks for at least 2,000 rows or 10 %, and so much is held
out by default where there are rows enough. A request that holds out less gets a smaller holdout, and with it a gate
that lets less pass, since the bound it tests widens.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lmaas_server.engine.bundle import Tensors
from lmaas_server.engine.data.examples import Array, Examples, Json
from lmaas_server.engine.data.kinds import stored_rows
from lmaas_server.engine.learning.scoring import outputs_of, scores_of
from lmaas_server.engine.learning.setup import Setup

ANCHOR_ROWS = 1000
HOLDOUT_ROWS = 10_000
HOLDOUT_BYTES = 64 << 20
RESERVOIR_ROWS = 2000
SCORES = "holdout.scores"
"""Of whom they are, and not of who began from it; a bundle of an older version has none."""


def fill_buffers(setup: Setup, outputs: Tensor) -> tuple[Tensors, Json]:
    """Choose anchor and holdout of a fresh training; returns tensors and what bundle.json says about them.

    `outputs` are the trained network's for all rows that were held out.
    """
    generator = np.random.default_rng(setup.request.seed or 0)
    anchor = setup.train_rows.take(balanced_rows(setup.train_rows, ANCHOR_ROWS, generator))
    held = _holdout_rows(setup.held_rows, generator)
    holdout = setup.held_rows.take(held)
    logits = outputs_of(setup.network, setup.feed, setup.feed.hold(anchor.inputs))
    tensors = {
        "anchor.inputs": _tensor(stored_rows(anchor.inputs, anchor.input)),
        "anchor.targets": _tensor(anchor.targets),
        "anchor.outputs": logits,
        "holdout.inputs": _tensor(stored_rows(holdout.inputs, holdout.input)),
        "holdout.targets": _tensor(holdout.targets),
        SCORES: _tensor(scores_of(outputs[held], _present(holdout.targets), setup.scale)),
    }
    return tensors, {"anchor": len(anchor), "holdout": len(holdout), "reservoir": 0, "reservoir_ids": []}


def balanced_rows(examples: Examples, count: int, generator: np.random.Generator) -> Array:
    """Return indices of up to `count` rows, as evenly over the classes as their sizes allow."""
    order = generator.permutation(len(examples))
    if not examples.classes or examples.targets is None or examples.multiple:
        return np.sort(order[:count])
    labels = examples.targets[order]
    rank = np.empty(len(order), dtype=np.int64)  # how many rows of the same class come before
    for label in range(len(examples.classes)):
        of_label = np.flatnonzero(labels == label)
        rank[of_label] = np.arange(len(of_label))
    return np.sort(order[np.argsort(rank, kind="stable")[:count]])


def _holdout_rows(examples: Examples, generator: np.random.Generator) -> Array:
    width = max(1, examples.inputs[0].nbytes)
    count = max(1, min(len(examples), HOLDOUT_ROWS, HOLDOUT_BYTES // width))
    return np.sort(generator.permutation(len(examples))[:count])


def _tensor(array: Array | None) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(_present(array)))


def _present(array: Array | None) -> Array:
    if array is None:
        raise ValueError("buffers hold rows with targets")
    return array
