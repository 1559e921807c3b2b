"""The convolutional network for sound: sizes without torch, and the network."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING

from lmaas.types import AudioCNN
from lmaas_server.engine.architectures.activations import activation
from lmaas_server.errors import InvalidError

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]

_SHIFT_SHARE, _BANDS_SHARE, _FRAMES_SHARE = 0.1, 0.2, 0.15
"""How far a clip moves, and how long the masks get, as shares of its frames and bands."""


def check(config: AudioCNN, shape: Shape) -> None:
    """Refuse clips shorter than the pooling makes of them; shape is (bands, frames)."""
    least = 2 ** len(config.channels)
    if min(shape) < least:
        raise InvalidError(
            f"{len(config.channels)} blocks halve bands and frames {len(config.channels)} times and need at least "
            f"{least} of each; clips here have {shape[0]} bands and {shape[1]} frames of 10 ms. Use fewer channels, or "
            "longer clips",
            code="architecture_mismatch",
            param="architecture.channels",
        )


def parameters(config: AudioCNN, shape: Shape, outputs: int) -> int:
    """Count the weights and biases of convolutions, norms and linear layers."""
    blocks: int = sum((9 * a + 3) * b for a, b in pairwise((1, *config.channels)))
    return blocks + (_flat(config, shape) + 1) * config.hidden + (config.hidden + 1) * outputs


def units(config: AudioCNN, shape: Shape, outputs: int) -> int:
    """Count the numbers that one row leaves behind for the backward pass."""
    places = math.prod(shape)
    blocks: int = sum(
        width * (3 * places // 4**depth + places // 4 ** (depth + 1)) for depth, width in enumerate(config.channels)
    )
    return places + blocks + _flat(config, shape) + config.hidden * 3 + outputs


def build(config: AudioCNN, shape: Shape, outputs: int) -> nn.Sequential:
    """Build the network: (batch, bands, frames) -> (batch, outputs)."""
    from torch import nn  # late: planning counts sizes here without loading torch

    from lmaas_server.engine.architectures.audio_layers import Disturb, PoolFrames
    from lmaas_server.engine.architectures.layouts import ChannelsLast

    bands, frames = shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if config.augment:
        shift, masked = round(_SHIFT_SHARE * frames), round(_FRAMES_SHARE * frames)
        layers["disturb"] = Disturb(shift=shift, bands=round(_BANDS_SHARE * bands), frames=masked)
    layers["channel"] = ChannelsLast()  # (batch, 1, bands, frames)
    for index, (inputs, width) in enumerate(pairwise((1, *config.channels)), start=1):
        layers[f"conv{index}"] = nn.Conv2d(inputs, width, kernel_size=3, padding=1)
        layers[f"norm{index}"] = nn.BatchNorm2d(width)
        layers[f"pool{index}"] = nn.MaxPool2d(2)  # before the activation, which then has a quarter to do
        layers[f"activation{index}"] = activation(config.activation)
    layers["pool"] = PoolFrames()
    if config.dropout:
        layers["dropout"] = nn.Dropout(config.dropout)
    layers["linear"] = nn.Linear(_flat(config, shape), config.hidden)
    layers["activation"] = activation(config.activation)
    layers["output"] = nn.Linear(config.hidden, outputs)
    return nn.Sequential(layers)


def _flat(config: AudioCNN, shape: Shape) -> int:
    return 2 * config.channels[-1] * (shape[0] >> len(config.channels))
