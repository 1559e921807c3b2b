"""Network architectures a training request may ask for, told apart by `type`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lmaas.types._wire import WireRequest

Activation = Literal["relu", "gelu", "silu", "tanh"]


class MLP(WireRequest):
    """A multi-layer perceptron: the input flattened, then linear layers with an activation between.

    Suits tensors of any shape and small images. `hidden=()` is a linear model.
    """

    type: Literal["mlp"] = "mlp"
    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, max_length=32)] = (256, 128)
    """Units of each hidden layer, from input to output."""
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability of zeroing a hidden unit during training."""
    batch_norm: bool = False


class CNN(WireRequest):
    """A convolutional network: blocks of 3x3 convolution, batch norm, activation and 2x2 pooling, then a linear head.

    Suits images, and tensors of shape (height, width) or (channels, height, width).
    """

    type: Literal["cnn"] = "cnn"
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=1, max_length=8)] = (
        32,
        64,
    )
    """Feature maps of each block."""
    hidden: Annotated[int, Field(ge=1)] = 128
    """Units of the linear layer before the output."""
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    batch_norm: bool = True


class TextEncoder(WireRequest):
    """A network for text. Words are hashed into a table of vectors, so that no vocabulary is fitted.

    `encoder="bag"` averages the vectors of words and of runs of words (fastText, Joulin et al. 2016): fast, and hard to
    beat where the words tell the answer. `encoder="transformer"` lets words attend to each other: slower to train, for
    texts whose order matters.
    """

    type: Literal["text_encoder"] = "text_encoder"
    encoder: Literal["bag", "transformer"] = "bag"
    buckets: Annotated[int, Field(ge=1 << 8, le=1 << 24)] = 1 << 16
    """Entries of the table; words that share one are not told apart."""
    dimensions: Annotated[int, Field(ge=1, le=4096)] = 64
    """Of each word's vector."""
    ngrams: Annotated[int, Field(ge=1, le=4)] = 2
    """The longest run of words that has a vector of its own (`bag`)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    layers: Annotated[int, Field(ge=1, le=24)] = 2
    """Of attention (`transformer`)."""
    heads: Annotated[int, Field(ge=1, le=64)] = 4
    max_words: Annotated[int, Field(ge=1, le=2048)] = 256
    """Words of a text that are attended to (`transformer`); a bag takes up to 2,048."""


class TabularMLP(WireRequest):
    """A multi-layer perceptron for tables: a vector for every category beside the numbers, then linear layers."""

    type: Literal["tabular_mlp"] = "tabular_mlp"
    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, max_length=32)] = (128, 64)
    """Units of each hidden layer, from input to output."""
    embedding: Annotated[int, Field(ge=1, le=1024)] = 16
    """The most dimensions of a category's vector; columns with few categories get fewer."""
    activation: Activation = "relu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2


Architecture = Annotated[MLP | CNN | TextEncoder | TabularMLP, Field(discriminator="type")]
