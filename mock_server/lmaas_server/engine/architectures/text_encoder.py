"""Networks for text that has been turned into numbered words: sizes without torch, and the network.

Both take (batch, words) of int32, padded with 0 at the end, and hash the numbers into a table of vectors.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from lmaas.types import TextEncoder
from lmaas_server.errors import InvalidError

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]


def check(config: TextEncoder, shape: Shape) -> None:  # noqa: ARG001 - a text has no shape
    """Refuse a transformer whose width its heads do not divide; every text will do."""
    if config.encoder == "transformer" and config.dimensions % config.heads:
        raise InvalidError(
            f"{config.heads} heads share {config.dimensions} dimensions evenly or not at all; "
            f"use {config.dimensions - config.dimensions % config.heads or config.heads} dimensions",
            code="architecture_mismatch",
            param="architecture.heads",
        )


def parameters(config: TextEncoder, shape: Shape, outputs: int) -> int:  # noqa: ARG001 - a text has no shape
    """Count the table (its row 0 is padding), the layers of attention and the linear head."""
    width = config.dimensions
    table, head = (config.buckets + 1) * width, (width + 1) * outputs
    if config.encoder == "bag":
        return table + head
    # attention: 4 square maps; feed-forward: two maps of 4 x width; two norms
    layer = 4 * (width + 1) * width + 2 * 4 * width * width + 5 * width + 4 * width
    return table + config.max_words * width + config.layers * layer + 2 * width + head


def units(config: TextEncoder, shape: Shape, outputs: int) -> int:  # noqa: ARG001 - a text has no shape
    """Count the numbers that one row leaves behind for the backward pass."""
    width, words = config.dimensions, config.max_words
    if config.encoder == "bag":
        return config.ngrams * words + 2 * width + outputs
    return words * width + config.layers * words * (14 * width + config.heads * words) + outputs


def build(config: TextEncoder, shape: Shape, outputs: int) -> nn.Sequential:  # noqa: ARG001 - a text has no shape
    """Build the network: (batch, words) -> (batch, outputs)."""
    from torch import nn

    from lmaas_server.engine.architectures.text_layers import Attention, NgramBag

    if config.encoder == "bag":
        encoder: nn.Module = NgramBag(config.buckets, config.dimensions, config.ngrams)
    else:
        encoder = Attention(
            buckets=config.buckets,
            width=config.dimensions,
            layers=config.layers,
            heads=config.heads,
            longest=config.max_words,
            dropout=config.dropout,
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict(encoder=encoder)
    if config.dropout:
        layers["dropout"] = nn.Dropout(config.dropout)
    layers["output"] = nn.Linear(config.dimensions, outputs)
    return nn.Sequential(layers)
