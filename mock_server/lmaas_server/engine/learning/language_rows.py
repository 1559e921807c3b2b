"""Token rows of a language model, and the batches they are learned in. Knows no network.

Rows of one length learn together, so that little is padded: they are sorted by length with ties in random order and cut
into batches, and the batches shuffled. The lengths never change, so neither does the number of steps of an epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lmaas_server.engine.data.examples import Array
from lmaas_server.engine.data.spill import Room
from lmaas_server.engine.data.tokens import Marked
from lmaas_server.engine.device import device

IGNORED = -100
"""The target of a token that is not learned; torch's default for cross entropy."""
ANY_ROOM = Room()
"""Of rows that say nothing else."""
_BUCKET = 8
_PART = 1 << 16


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs and targets on the device, (rows, tokens) each; the target of a token is the next, or IGNORED."""

    inputs: Tensor
    targets: Tensor
    learned: int

    @classmethod
    def of(cls, inputs: Array, targets: Array) -> Batch:
        """Take them to the device."""
        learned = int((targets != IGNORED).sum())
        return cls(torch.from_numpy(inputs).to(device()), torch.from_numpy(targets).to(device()), learned)


def marked(batch: Batch) -> list[Marked]:
    """Return the rows of a batch up to the last token that is learned."""
    found = []
    for inputs, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        length = max(place for place, target in enumerate(targets) if target != IGNORED) + 1
        learned = [target != IGNORED for target in targets[:length]]
        found.append(Marked(ids=[*inputs[:length], targets[length - 1]], learned=[False, *learned]))
    return found


class Rows(Protocol):
    """What is learned: cut into batches for an epoch, or gone through once in order."""

    def __len__(self) -> int:
        """How many rows there are."""

    @property
    def tokens(self) -> int:
        """How many tokens are learned in an epoch."""

    @property
    def steps(self) -> int:
        """How many steps make an epoch."""

    def of_epoch(self, epoch: int) -> Iterator[Sequence[Batch]]:
        """Yield the batches of each step; the same for the same seed and epoch."""

    def in_order(self) -> Iterator[Batch]:
        """Yield every row once, for measuring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How rows become steps."""

    batch_size: int
    accumulation: int
    max_tokens: int | None
    seed: int

    def rows_of(self, length: int) -> int:
        """Return how many rows of a length make a batch."""
        if self.max_tokens is None:
            return self.batch_size
        return max(1, min(self.batch_size, self.max_tokens // length))

    def shuffled(self, count: int, epoch: int) -> Array:
        """Return the numbers up to `count` in the order of this epoch."""
        return np.random.default_rng((self.seed, epoch)).permutation(count)


class MarkedRows:
    """Examples of their own: conversations, prompts with completions, texts.

    Their tokens lie one row after the other in two arrays, which `room` keeps on disk where they are many.
    """

    def __init__(self, rows: Iterable[Marked], cut: Cut, *, room: Room = ANY_ROOM) -> None:
        inputs, targets, lengths = room.gather(np.int32), room.gather(np.int32), room.gather(np.int64)
        for row in rows:
            ids = np.asarray(row.ids)
            inputs.add(ids[:-1])
            targets.add(np.where(row.learned[1:], ids[1:], IGNORED))
            lengths.add(np.array([len(ids) - 1]))
        self._inputs, self._targets, sizes = inputs.finish(), targets.finish(), lengths.finish()
        self._starts = np.concatenate([[0], np.cumsum(sizes)])
        self._cut = cut
        self._buckets = -(-sizes // _BUCKET)
        self._tokens = sum(int((part != IGNORED).sum()) for part in _parts(self._targets))
        self._edges = list(self._batches(np.sort(self._buckets)))

    def __repr__(self) -> str:
        return f"MarkedRows({len(self)} rows, {self._tokens} tokens learned, {self.steps} steps)"

    def __len__(self) -> int:
        return len(self._starts) - 1

    @property
    def tokens(self) -> int:
        """How many tokens are learned in an epoch."""
        return self._tokens

    @property
    def steps(self) -> int:
        """How many steps make an epoch."""
        return -(-len(self._edges) // self._cut.accumulation)

    def of_epoch(self, epoch: int) -> Iterator[Sequence[Batch]]:
        """Yield the batches of each step."""
        ties = self._cut.shuffled(len(self), epoch)
        order = ties[np.argsort(self._buckets[ties], kind="stable")]
        batches = self._cut.shuffled(len(self._edges), epoch)
        for at in range(0, len(batches), self._cut.accumulation):
            chosen = (self._edges[index] for index in batches[at : at + self._cut.accumulation])
            yield [self._batch(order[first:last]) for first, last in chosen]

    def in_order(self) -> Iterator[Batch]:
        """Yield every row once, short ones first."""
        order = np.argsort(self._buckets, kind="stable")
        for first, last in self._edges:
            yield self._batch(order[first:last])

    def _batches(self, sizes: Array) -> Iterator[tuple[int, int]]:
        """Yield where each batch begins and ends among rows in order of length."""
        first = 0
        for last in range(1, len(sizes) + 1):
            full = last == len(sizes) or last + 1 - first > self._cut.rows_of(int(sizes[last]) * _BUCKET)
            if full:
                yield first, last
                first = last

    def _batch(self, rows: Array) -> Batch:
        starts, ends = self._starts[rows], self._starts[rows + 1]
        length = int((ends - starts).max())
        inputs = np.zeros((len(rows), length), dtype=np.int64)
        targets = np.full((len(rows), length), IGNORED, dtype=np.int64)
        for place, (first, last) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            inputs[place, : last - first] = self._inputs[first:last]
            targets[place, : last - first] = self._targets[first:last]
        return Batch.of(inputs, targets)


class RunningRows:
    """Windows on running text; every epoch begins a little further on, so that their seams differ."""

    def __init__(self, ids: Array, window: int, cut: Cut) -> None:
        self._ids = ids
        self._window = min(window, len(ids) - 1)
        self._cut = cut
        self._rows = max(1, (len(ids) - self._window) // self._window)
        self._size = cut.rows_of(self._window)

    def __repr__(self) -> str:
        return f"RunningRows({len(self)} windows of {self._window} tokens, {self.steps} steps)"

    def __len__(self) -> int:
        return self._rows

    @property
    def tokens(self) -> int:
        """How many tokens are learned in an epoch."""
        return self._rows * self._window

    @property
    def steps(self) -> int:
        """How many steps make an epoch."""
        return -(-self._rows // (self._size * self._cut.accumulation))

    def of_epoch(self, epoch: int) -> Iterator[Sequence[Batch]]:
        """Yield the batches of each step."""
        spare = len(self._ids) - 1 - self._rows * self._window
        shift = int(np.random.default_rng((self._cut.seed, epoch, 1)).integers(spare + 1))
        starts = self._cut.shuffled(self._rows, epoch) * self._window + shift
        step = self._size * self._cut.accumulation
        for at in range(0, len(starts), step):
            chosen = starts[at : at + step]
            yield [self._batch(chosen[first : first + self._size]) for first in range(0, len(chosen), self._size)]

    def in_order(self) -> Iterator[Batch]:
        """Yield every window once."""
        starts = np.arange(self._rows) * self._window
        for at in range(0, len(starts), self._size):
            yield self._batch(starts[at : at + self._size])

    def _batch(self, starts: Array) -> Batch:
        places = starts[:, None] + np.arange(self._window)  # (rows, tokens)
        inputs, targets = (self._ids[at].astype(np.int64) for at in (places, places + 1))
        return Batch.of(inputs, targets)


def _parts(array: Array) -> Iterator[Array]:
    """Go through a long array without a copy of the whole."""
    for first in range(0, len(array), _PART):
        yield array[first : first + _PART]
