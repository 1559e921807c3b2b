"""A network's outputs over many rows, and figures about them cheap enough for every epoch. Knows no jobs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from lmaas_server.engine.architectures.folding import folded
from lmaas_server.engine.data.examples import Array
from lmaas_server.engine.data.feed import Feed, Held
from lmaas_server.engine.device import CPU
from lmaas_server.engine.learning.losses import Loss
from lmaas_server.engine.learning.values import ValueScale

BATCH = 1024


@torch.inference_mode()
def outputs_of(network: nn.Sequential, feed: Feed, held: Held, batch_size: int = BATCH) -> Tensor:
    """Return the outputs for all rows that `feed` holds, on the CPU: (rows, outputs)."""
    training = network.training
    network.eval()
    found = [folded(network, feed.batch(held[at : at + batch_size])) for at in range(0, len(held), batch_size)]
    network.train(training)
    return torch.cat(found).to(CPU)


def scores_of(outputs: Tensor, targets: Array, scale: ValueScale | None, spread: Tensor | None = None) -> Array:
    """Return how good each row's answer is, more being better, in float64: what the gate compares.

    1 or 0 for a class, or for all of a row's classes; for values minus the mean error, in deviations of what the
    training saw (`scale.std`, or `spread` where two models are to be compared).
    """
    if scale is not None:
        found = scale.restore(outputs).numpy() - targets.reshape(outputs.shape)
        errors = np.abs(found / (scale.std if spread is None else spread).numpy())
        closeness: Array = -errors.mean(axis=1, dtype=np.float64)
        return closeness
    if targets.ndim > 1:
        exact: Array = ((outputs > 0).numpy() == (targets > 0)).all(axis=1)
        return exact.astype(np.float64)
    right: Array = np.equal(outputs.argmax(dim=1).numpy(), targets)
    return right.astype(np.float64)


@torch.inference_mode()
def epoch_figures(outputs: Tensor, targets: Tensor, loss: Loss, scale: ValueScale | None) -> dict[str, float]:
    """Return the loss and the figures of `Task.epoch_metrics`; `targets` are as the network learns them."""
    figures = {"loss": float(loss(outputs, targets))}
    if scale is None and targets.is_floating_point():
        return figures | _several(outputs > 0, targets > 0)
    if scale is None:
        return figures | {"accuracy": float((outputs.argmax(dim=1) == targets).float().mean())}
    error = (outputs - targets) * scale.std
    spread = ((targets - targets.mean(dim=0)) * scale.std).square().sum()
    squares = error.square().sum()
    return figures | {
        "mae": float(error.abs().mean()),
        "rmse": float(error.square().mean().sqrt()),
        "r2": float(1 - squares / spread) if spread > 0 else 0.0,
    }


def _several(said: Tensor, true: Tensor) -> dict[str, float]:
    """Return how many rows have all their classes right, and F1 over all classes of all rows."""
    both, either = int((said & true).sum()), int(said.sum() + true.sum())
    right = (said == true).all(dim=1)
    return {"accuracy": float(right.float().mean()), "micro_f1": 2 * both / either if either else 1.0}
