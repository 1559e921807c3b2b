"""Losses by name, as functions of outputs and targets. Knows no models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from lmaas.types import MAE, MSE, BinaryCrossEntropy, CrossEntropy, Huber

Loss = Callable[[Tensor, Tensor], Tensor]
"""(batch, outputs) and (batch,) or (batch, outputs) -> ()."""


def _cross_entropy(spec: Any, targets: Tensor, outputs: int) -> Loss:
    weight = None
    if spec.balanced:
        counts = torch.bincount(targets, minlength=outputs).float()
        weight = torch.where(counts > 0, len(targets) / (outputs * counts.clamp(min=1)), 0.0)
    smoothing = spec.label_smoothing

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        on_device = None if weight is None else weight.to(logits.device)
        return functional.cross_entropy(logits, labels, weight=on_device, label_smoothing=smoothing)

    return loss


def _binary_cross_entropy(_: Any, __: Tensor, ___: int) -> Loss:
    return functional.binary_cross_entropy_with_logits


def _mse(_: Any, __: Tensor, ___: int) -> Loss:
    return functional.mse_loss


def _mae(_: Any, __: Tensor, ___: int) -> Loss:
    return functional.l1_loss


def _huber(spec: Any, _: Tensor, __: int) -> Loss:
    delta = spec.delta

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.huber_loss(outputs, targets, delta=delta)

    return loss


LOSSES: dict[str, Callable[[Any, Tensor, int], Loss]] = {
    "binary_cross_entropy": _binary_cross_entropy,
    "cross_entropy": _cross_entropy,
    "huber": _huber,
    "mae": _mae,
    "mse": _mse,
}


def build_loss(spec: CrossEntropy | BinaryCrossEntropy | MSE | MAE | Huber, targets: Tensor, outputs: int) -> Loss:
    """Return the loss a request asks for; `targets` are those of the training rows."""
    return LOSSES[spec.type](spec, targets, outputs)
