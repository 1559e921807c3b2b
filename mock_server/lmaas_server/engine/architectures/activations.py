"""Activations by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def activation(name: str) -> nn.Module:
    """Return a new activation of the given name."""
    from torch import nn  # late: the architectures are planned without loading torch

    kinds: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}
    return kinds[name]()
