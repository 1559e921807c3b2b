"""Arrays on their way into a network: layout and scaling in torch. Knows no files and no models.

uint8 stays uint8 in memory and is scaled batch by batch: a quarter of the memory, and the copy of a batch that
indexing makes anyway is four times smaller. Floats are scaled once.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lmaas_server.engine.data.examples import Array
from lmaas_server.engine.data.preprocessing import Preprocessing


class Feed:
    """Applies one Preprocessing."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing
        self._single = len(preprocessing.mean) == 1
        shape = self._broadcast_shape()
        self._mean = torch.tensor(preprocessing.mean, dtype=torch.float32).reshape(shape)
        self._scale = (1.0 / torch.tensor(preprocessing.std, dtype=torch.float64)).float().reshape(shape)
        self._identity = self._single and preprocessing.mean[0] == 0 and preprocessing.std[0] == 1

    def __repr__(self) -> str:
        return f"Feed({self.preprocessing!r})"

    def hold(self, inputs: Array) -> Tensor:
        """Return rows as they are kept for many batches: uint8 in the network's layout, or floats already scaled."""
        rows = self._laid_out(inputs)
        return rows if rows.dtype == torch.uint8 else self._scaled(rows.clone())

    def batch(self, held: Tensor) -> Tensor:
        """Return what the network takes of rows that `hold` gave."""
        return self._scaled(held.float()) if held.dtype == torch.uint8 else held

    def rows(self, inputs: Array) -> Tensor:
        """Return what the network takes of raw rows, all at once."""
        rows = self._laid_out(inputs)
        return self._scaled(rows.float() if rows.dtype == torch.uint8 else rows.clone())

    def _laid_out(self, inputs: Array) -> Tensor:
        if self.preprocessing.kind == "image":
            inputs = inputs.transpose(0, 3, 1, 2)
        writable = np.ascontiguousarray(inputs)
        return torch.from_numpy(writable if writable.flags.writeable else writable.copy())

    def _scaled(self, rows: Tensor) -> Tensor:
        return rows if self._identity else rows.sub_(self._mean).mul_(self._scale)

    def _broadcast_shape(self) -> tuple[int, ...]:
        shape = self.preprocessing.network_shape
        if self._single:
            return (1,)
        return (shape[0], 1, 1) if self.preprocessing.kind == "image" else shape
