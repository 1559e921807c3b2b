"""The MLP 784-512-512-10 that every peer serves or trains. Knows torch, and nothing of this service."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["mlp", "predicted"]


def mlp() -> nn.Sequential:
    """Return the network with the weights of seed 0."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


@torch.inference_mode()
def predicted(network: nn.Sequential, rows: Tensor) -> list[dict[str, float]]:
    """Return label and score of rows (rows, 784): what this service answers too."""
    scores, labels = network(rows).softmax(dim=1).max(dim=1)
    return said(labels.tolist(), scores.tolist())


def said(labels: Sequence[int], scores: Sequence[float]) -> list[dict[str, float]]:
    """Return one output per row."""
    return [{"label": label, "score": score} for label, score in zip(labels, scores, strict=True)]
