"""The convolutional network: sizes without torch, and the network."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING

from lmaas.types import CNN
from lmaas_server.engine.architectures.activations import activation
from lmaas_server.errors import InvalidError

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]

_WITHOUT_CHANNELS, _WITH_CHANNELS = 2, 3
"""Ranks of a row: (height, width) and (channels, height, width)."""


def check(config: CNN, shape: Shape) -> None:
    """Refuse rows that are no pictures, and pictures smaller than the pooling makes of them."""
    if len(shape) not in {_WITHOUT_CHANNELS, _WITH_CHANNELS}:
        raise InvalidError(
            f"a cnn takes pictures, or tensors of shape (height, width) or (channels, height, width); "
            f"rows here have shape {shape}. Use an mlp, or reshape the rows",
            code="architecture_mismatch",
            param="architecture",
        )
    least = 2 ** len(config.channels)
    if min(shape[-2:]) < least:
        raise InvalidError(
            f"{len(config.channels)} blocks halve the picture {len(config.channels)} times and need at least "
            f"{least} x {least} pixels; rows here are {shape[-2]} x {shape[-1]}. Use fewer channels",
            code="architecture_mismatch",
            param="architecture.channels",
        )


def parameters(config: CNN, shape: Shape, outputs: int) -> int:
    """Count the weights and biases of convolutions, norms and linear layers."""
    norm = 2 if config.batch_norm else 0
    blocks = sum((9 * a + 1 + norm) * b for a, b in pairwise(_widths(config, shape)))
    return blocks + (_flat(config, shape) + 1) * config.hidden + (config.hidden + 1) * outputs


def units(config: CNN, shape: Shape, outputs: int) -> int:
    """Count the numbers that one row leaves behind for the backward pass."""
    pixels = math.prod(shape[-2:])
    blocks: int = sum(
        width * pixels // 4**depth * (2 + config.batch_norm) + width * pixels // 4 ** (depth + 1)
        for depth, width in enumerate(config.channels)
    )
    return math.prod(shape) + blocks + config.hidden * 3 + outputs


def build(config: CNN, shape: Shape, outputs: int) -> nn.Sequential:
    """Build the network: (batch, [channels,] height, width) -> (batch, outputs)."""
    from torch import nn  # late: planning counts sizes here without loading torch

    from lmaas_server.engine.architectures.layouts import ChannelsLast

    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["layout"] = ChannelsLast()  # (batch, channels, height, width)
    for index, (inputs, width) in enumerate(pairwise(_widths(config, shape)), start=1):
        layers[f"conv{index}"] = nn.Conv2d(inputs, width, kernel_size=3, padding=1)
        if config.batch_norm:
            layers[f"norm{index}"] = nn.BatchNorm2d(width)
        layers[f"pool{index}"] = nn.MaxPool2d(2)  # before the activation, which then has a quarter to do
        layers[f"activation{index}"] = activation(config.activation)
    layers["flatten"] = nn.Flatten()
    layers["linear"] = nn.Linear(_flat(config, shape), config.hidden)
    layers["activation"] = activation(config.activation)
    if config.dropout:
        layers["dropout"] = nn.Dropout(config.dropout)
    layers["output"] = nn.Linear(config.hidden, outputs)
    return nn.Sequential(layers)


def _widths(config: CNN, shape: Shape) -> list[int]:
    return [shape[0] if len(shape) == _WITH_CHANNELS else 1, *config.channels]


def _flat(config: CNN, shape: Shape) -> int:
    halvings = len(config.channels)
    return config.channels[-1] * (shape[-2] >> halvings) * (shape[-1] >> halvings)
