"""The perceptron for tables, with a vector for every category: sizes without torch, and the network.

A row is its numbers, then one index for each category; its shape is how many numbers there are, then how many indices
each category has.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING

from lmaas.types import TabularMLP
from lmaas_server.engine.architectures.activations import activation

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]


def check(config: TabularMLP, shape: Shape) -> None:
    """Every table will do."""


def parameters(config: TabularMLP, shape: Shape, outputs: int) -> int:
    """Count the vectors of categories, weights and biases."""
    vectors = sum(size * dimensions(config, size) for size in shape[1:])
    return vectors + sum((a + 1) * b for a, b in pairwise(_widths(config, shape, outputs)))


def units(config: TabularMLP, shape: Shape, outputs: int) -> int:
    """Count the numbers that one row leaves behind for the backward pass."""
    inputs = _widths(config, shape, outputs)[0]
    return 2 * inputs + sum(config.hidden) * (2 + (config.dropout > 0)) + outputs


def build(config: TabularMLP, shape: Shape, outputs: int) -> nn.Sequential:
    """Build the network: (batch, numbers + categories) -> (batch, outputs)."""
    from torch import nn

    from lmaas_server.engine.architectures.table_layers import CategoryVectors

    sizes = [(size, dimensions(config, size)) for size in shape[1:]]
    layers: OrderedDict[str, nn.Module] = OrderedDict(vectors=CategoryVectors(shape[0], sizes))
    *hidden, _ = _widths(config, shape, outputs)
    for index, (inputs, width) in enumerate(pairwise(hidden), start=1):
        layers[f"linear{index}"] = nn.Linear(inputs, width)
        layers[f"activation{index}"] = activation(config.activation)
        if config.dropout:
            layers[f"dropout{index}"] = nn.Dropout(config.dropout)
    layers["output"] = nn.Linear(hidden[-1], outputs)
    return nn.Sequential(layers)


def dimensions(config: TabularMLP, size: int) -> int:
    """Return the dimensions of a category's vectors: half as many as there are categories, up to the most allowed."""
    return int(min(config.embedding, max(1, size // 2)))


def _widths(config: TabularMLP, shape: Shape, outputs: int) -> list[int]:
    inputs = shape[0] + sum(dimensions(config, size) for size in shape[1:])
    return [inputs, *config.hidden, outputs]
