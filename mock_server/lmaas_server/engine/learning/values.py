"""Value targets, standardised over the training rows for the network and back for people. Knows no models."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lmaas_server.engine.data.examples import Array, Json

_CONSTANT = 1e-12
"""A deviation below it is rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class ValueScale:
    """Mean and standard deviation of each output, of shape (outputs,)."""

    mean: Tensor
    std: Tensor

    def __repr__(self) -> str:
        return f"ValueScale(mean={self.mean.tolist()}, std={self.std.tolist()})"

    @classmethod
    def fit(cls, targets: Array) -> ValueScale:
        """Fit on the training rows; an output that never varies keeps a deviation of 1."""
        values = torch.from_numpy(targets).double().reshape(len(targets), -1)
        std = values.std(dim=0, correction=0)
        return cls(values.mean(dim=0).float(), torch.where(std > _CONSTANT, std, 1.0).float())

    @classmethod
    def from_json(cls, stored: Json) -> ValueScale:
        """Read what `to_json` wrote."""
        return cls(torch.tensor(stored["mean"]), torch.tensor(stored["std"]))

    def to_json(self) -> Json:
        """Return the state as JSON."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    def standardise(self, targets: Array) -> Tensor:
        """Return (rows, outputs) as the network learns them."""
        return (torch.from_numpy(targets).reshape(len(targets), -1) - self.mean) / self.std

    def restore(self, outputs: Tensor) -> Tensor:
        """Return (rows, outputs) in the units of the data."""
        return outputs * self.std.to(outputs.device) + self.mean.to(outputs.device)
