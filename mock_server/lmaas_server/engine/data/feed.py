"""Raw rows on their way into a network: layout, scaling and features in torch. Knows no files and no models.

ArrayFeed   tensors and pictures, scaled once as long as they take no more than MOST_SCALED as floats. On one thread
            scaling batch by batch costs the same (2.7 and 2.8 s of CPU for the same steps); on two threads of a busy
            machine its three short parallel operations a step doubled the time (median 23 s against 13 s).
TableFeed   features, computed once.
TextFeed    numbered words, one text after the other; a batch is padded to its longest text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lmaas_server.engine.data.examples import Array
from lmaas_server.engine.data.kinds import Preprocessing
from lmaas_server.engine.data.log_mel import AudioFeed
from lmaas_server.engine.data.preprocessing import MOST_SCALED
from lmaas_server.engine.data.preprocessing import Preprocessing as Affine
from lmaas_server.engine.data.table_features import TablePreprocessing
from lmaas_server.engine.data.words import Words, words_of
from lmaas_server.engine.device import device

_FLOAT = 4


class Held(Protocol):
    """Rows as they are kept for many batches; a Tensor is one."""

    def __len__(self) -> int:
        """How many rows."""

    def __getitem__(self, rows: Any) -> Tensor:
        """Return the given rows, by a slice or by their indices."""


class Feed(Protocol):
    """How raw rows of one kind come into a network."""

    def hold(self, inputs: Array) -> Held:
        """Return rows as they are kept for many batches."""

    def batch(self, held: Tensor) -> Tensor:
        """Return what the network takes of rows that `hold` gave."""

    def rows(self, inputs: Array) -> Tensor:
        """Return what the network takes of raw rows, all at once."""


def feed_of(preprocessing: Preprocessing) -> Feed:
    """Return the feed of a kind."""
    return _FEEDS[preprocessing.kind](preprocessing)


def joined(batches: Sequence[Tensor]) -> Tensor:
    """Return batches as one, padded with 0 where one is wider than another (texts)."""
    width = max(batch.shape[-1] for batch in batches)
    if all(batch.shape[-1] == width for batch in batches):
        return torch.cat(list(batches))
    return torch.cat([torch.nn.functional.pad(batch, (0, width - batch.shape[-1])) for batch in batches])


class ArrayFeed:
    """Applies an affine map, on the device; what is scaled batch by batch stays on the CPU until then."""

    def __init__(self, preprocessing: Affine) -> None:
        self.preprocessing = preprocessing
        self._single = len(preprocessing.mean) == 1
        shape = self._broadcast_shape()
        self._device = device()
        self._mean = torch.tensor(preprocessing.mean, dtype=torch.float32).reshape(shape).to(self._device)
        scale = (1.0 / torch.tensor(preprocessing.std, dtype=torch.float64)).float().reshape(shape)
        self._scale = scale.to(self._device)
        self._identity = self._single and preprocessing.mean[0] == 0 and preprocessing.std[0] == 1

    def __repr__(self) -> str:
        return f"ArrayFeed({self.preprocessing!r})"

    def hold(self, inputs: Array) -> Tensor:
        """Return rows as they are kept for many batches: floats already scaled, or uint8 where those would be many."""
        rows = self._laid_out(inputs)
        if rows.dtype == torch.uint8:
            return rows if rows.numel() * _FLOAT > MOST_SCALED else self._scaled(rows.to(self._device).float())
        return self._scaled(rows.to(self._device, copy=True))

    def batch(self, held: Tensor) -> Tensor:
        """Return what the network takes of rows that `hold` gave."""
        return self._scaled(held.to(self._device).float()) if held.dtype == torch.uint8 else held

    def rows(self, inputs: Array) -> Tensor:
        """Return what the network takes of raw rows, all at once."""
        rows = self._laid_out(inputs).to(self._device).float()
        # The caller's rows may lie beneath: nothing is done in place before there is a copy.
        return rows if self._identity else rows.sub(self._mean).mul_(self._scale)

    def _laid_out(self, inputs: Array) -> Tensor:
        if self.preprocessing.kind == "image":
            inputs = inputs.transpose(0, 3, 1, 2)
        if inputs.dtype != np.uint8:
            inputs = inputs.astype(np.float32, copy=False)
        writable = np.ascontiguousarray(inputs)
        return torch.from_numpy(writable if writable.flags.writeable else writable.copy())

    def _scaled(self, rows: Tensor) -> Tensor:
        return rows if self._identity else rows.sub_(self._mean).mul_(self._scale)

    def _broadcast_shape(self) -> tuple[int, ...]:
        shape = self.preprocessing.network_shape
        if self._single:
            return (1,)
        return (shape[0], 1, 1) if self.preprocessing.kind == "image" else shape


class TableFeed:
    """Gives the features of a table."""

    def __init__(self, preprocessing: TablePreprocessing) -> None:
        self.preprocessing = preprocessing
        self._device = device()

    def __repr__(self) -> str:
        return f"TableFeed({self.preprocessing!r})"

    def hold(self, inputs: Array) -> Tensor:
        """Return the features of all rows."""
        return self.rows(inputs)

    def batch(self, held: Tensor) -> Tensor:
        """Return the features as they are."""
        return held

    def rows(self, inputs: Array) -> Tensor:
        """Return (rows, numbers + categories)."""
        return torch.from_numpy(self.preprocessing.features(inputs)).to(self._device)


@dataclass(frozen=True, slots=True, eq=False)
class Bags:
    """Numbered words of many texts; indexing gives (rows, words) of int32, padded with 0 to the longest of them."""

    numbers: Tensor
    starts: Tensor

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __repr__(self) -> str:
        return f"Bags({len(self)} texts, {len(self.numbers)} words)"

    @classmethod
    def of(cls, words: Words) -> Bags:
        """Wrap words; a last 0 stands for all padding."""
        return cls(torch.from_numpy(np.append(words.numbers, np.int32(0))), torch.from_numpy(words.starts))

    def __getitem__(self, rows: Any) -> Tensor:
        if not isinstance(rows, slice):
            rows = torch.as_tensor(rows)
        starts, ends = self.starts[:-1][rows], self.starts[1:][rows]
        longest = max(1, int((ends - starts).max())) if len(starts) else 1
        places = starts[:, None] + torch.arange(longest)  # (rows, words)
        return self.numbers[torch.where(places < ends[:, None], places, len(self.numbers) - 1)]


class TextFeed:
    """Numbers the words of texts; they are held on the CPU, and a batch of them goes to the device."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing
        self._device = device()

    def __repr__(self) -> str:
        return "TextFeed()"

    def hold(self, inputs: Array) -> Bags:
        """Number the words of all texts, once."""
        return Bags.of(words_of(inputs))

    def batch(self, held: Tensor) -> Tensor:
        """Return the words as they are."""
        return held.to(self._device)

    def rows(self, inputs: Array) -> Tensor:
        """Return (rows, words) of int32."""
        return self.batch(self.hold(inputs)[:])


_FEEDS: dict[str, Callable[[Any], Feed]] = {
    "audio": AudioFeed,
    "image": ArrayFeed,
    "table": TableFeed,
    "tensor": ArrayFeed,
    "text": TextFeed,
}
