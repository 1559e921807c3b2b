"""What is fitted on the training rows and kept with a model: how raw inputs become what a network takes. No torch.

A kind's preprocessing is one affine map, (x - mean) / std, and a layout: pictures come as (height, width, channels)
and networks take (channels, height, width).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmaas_server.engine.data.examples import Array, Json

MOST_SCALED = 512 << 20
"""Bytes of pixels that training holds as floats, scaled once; more stay uint8 and are scaled batch by batch."""
_CHUNK_NUMBERS = 1 << 18
"""Few enough to stay in the cache: 53 ms for MNIST, where 1 << 22 take 141."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """The fitted map. `mean` and `std` hold one number, one per channel (pictures) or one per feature (tensors)."""

    kind: str
    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __repr__(self) -> str:
        return f"Preprocessing({self.kind} {self.shape}, {len(self.mean)} means)"

    @classmethod
    def fit(cls, inputs: Array, description: Json) -> Preprocessing:
        """Fit on the training rows, in chunks, so that memory stays bounded."""
        kind, shape = description["kind"], tuple(description["shape"])
        groups = _groups(inputs, description)
        mean, std = _moments(inputs, groups)
        return cls(kind=kind, shape=shape, mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    @classmethod
    def from_json(cls, stored: Json) -> Preprocessing:
        """Read what `to_json` wrote."""
        return cls(
            kind=stored["kind"], shape=tuple(stored["shape"]), mean=tuple(stored["mean"]), std=tuple(stored["std"])
        )

    def to_json(self) -> Json:
        """Return the fitted state as JSON."""
        return {"kind": self.kind, "shape": list(self.shape), "mean": list(self.mean), "std": list(self.std)}

    @property
    def network_shape(self) -> tuple[int, ...]:
        """The shape of one row as a network takes it."""
        return network_shape(self.kind, self.shape)


def network_shape(kind: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of one row as a network takes it: channels first for pictures."""
    return (shape[2], shape[0], shape[1]) if kind == "image" else shape


def _groups(inputs: Array, description: Json) -> int:
    """Return how many means are fitted: one per entry of the last axis, one for everything, or none (0)."""
    if description["kind"] == "image":
        return int(description["shape"][2])
    wish = description.get("normalize", "auto")
    if wish == "auto":
        flat = len(description["shape"]) == 1
        per_feature = flat and inputs.dtype != np.uint8 and (inputs.min() < 0 or inputs.max() > 1)
        wish = "feature" if per_feature else "global"
    groups: dict[str, int] = {"none": 0, "global": 1, "feature": inputs[0].size}
    return groups[wish]


def _moments(inputs: Array, groups: int) -> tuple[Array, Array]:
    if groups == 0:
        return np.zeros(1), np.ones(1)
    rows = max(1, _CHUNK_NUMBERS // inputs[0].size)
    chunks = [inputs[at : at + rows].reshape(-1, groups) for at in range(0, len(inputs), rows)]
    count = sum(len(chunk) for chunk in chunks)
    mean = sum(chunk.sum(axis=0, dtype=np.float64) for chunk in chunks) / count
    # Two passes: the one-pass formula loses every digit where the mean is far from zero.
    variance = sum(np.square(chunk - mean).sum(axis=0) for chunk in chunks) / count
    std = np.sqrt(variance)
    std[(std < 1e-7 * np.maximum(1.0, np.abs(mean))) | ~np.isfinite(std)] = 1.0  # a constant stays a constant
    return np.asarray(mean), np.asarray(std)
