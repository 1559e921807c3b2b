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


Architecture = Annotated[MLP | CNN, Field(discriminator="type")]
