"""The multi-layer perceptron: sizes without torch, and the network."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING

from lmaas.types import MLP
from lmaas_server.engine.architectures.activations import activation

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]


def check(config: MLP, shape: Shape) -> None:
    """Every shape will do: it is flattened."""


def parameters(config: MLP, shape: Shape, outputs: int) -> int:
    """Count weights and biases, and two of each where a hidden layer is normalised."""
    widths = _widths(config, shape, outputs)
    return sum((a + 1) * b for a, b in pairwise(widths)) + 2 * config.batch_norm * sum(config.hidden)


def units(config: MLP, shape: Shape, outputs: int) -> int:
    """Count the numbers that one row leaves behind for the backward pass."""
    return math.prod(shape) + sum(config.hidden) * (2 + config.batch_norm + (config.dropout > 0)) + outputs


def build(config: MLP, shape: Shape, outputs: int) -> nn.Sequential:
    """Build the network: (batch, *shape) -> (batch, outputs)."""
    from torch import nn  # late: planning counts sizes here without loading torch

    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    *hidden, _ = _widths(config, shape, outputs)
    for index, (inputs, width) in enumerate(pairwise(hidden), start=1):
        layers[f"linear{index}"] = nn.Linear(inputs, width)
        if config.batch_norm:
            layers[f"norm{index}"] = nn.BatchNorm1d(width)
        layers[f"activation{index}"] = activation(config.activation)
        if config.dropout:
            layers[f"dropout{index}"] = nn.Dropout(config.dropout)
    layers["output"] = nn.Linear(hidden[-1], outputs)
    return nn.Sequential(layers)


def _widths(config: MLP, shape: Shape, outputs: int) -> list[int]:
    return [math.prod(shape), *config.hidden, outputs]
