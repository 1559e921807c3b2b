"""Keys and values of the texts under way, side by side: rows join and leave between steps. Knows no network.

Rows end at the same column, so a step writes one column for all; a shorter row begins after empty columns, its pads,
which a mask hides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_ROOM = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of what a network remembers of one token."""

    layers: int
    heads: int
    """Of keys; there are as many of values."""
    width: int
    device: torch.device
    """Where it remembers."""


class Memory:
    """(layers, rows, heads of keys and of values, columns, width), of which the first `used` columns are filled."""

    def __init__(self, layout: Layout, rows: int, columns: int) -> None:
        self.layout = layout
        self.tensor = torch.empty(layout.layers, rows, 2 * layout.heads, columns, layout.width, device=layout.device)
        self.used = 0
        self.pads = [0] * rows
        self._hidden: Tensor | None = None

    def __repr__(self) -> str:
        return f"Memory({len(self)} rows, {self.used} columns)"

    def __len__(self) -> int:
        return len(self.pads)

    @property
    def lengths(self) -> list[int]:
        """How many tokens each row remembers."""
        return [self.used - pad for pad in self.pads]

    def reserve(self, columns: int) -> None:
        """Make room for so many more columns."""
        if self.used + columns > self.tensor.shape[3]:
            self._rebuilt(range(len(self)), shift=0, spare=max(columns, _ROOM, self.used // 2))

    def hidden(self, columns: int) -> Tensor | None:
        """Return what is added to attention scores, (rows, 1, 1, columns): minus infinity over pads; None without."""
        if not any(self.pads):
            return None
        if self._hidden is None or self._hidden.shape[3] < columns:
            pads = torch.tensor(self.pads)[:, None]
            empty = torch.arange(self.tensor.shape[3])[None] < pads
            hidden = torch.zeros(empty.shape).masked_fill_(empty, -torch.inf)
            self._hidden = hidden.to(self.layout.device)[:, None, None]
        return self._hidden[..., :columns]

    def join(self, other: Memory) -> None:
        """Take in the rows of another memory."""
        behind = max(0, other.used - self.used)
        rows = [*range(len(self)), *[-1] * len(other)]
        self._rebuilt(rows, shift=-behind, spare=_ROOM)
        first = len(rows) - len(other)
        start = self.used - other.used
        self.tensor[:, first:, :, start : self.used] = other.tensor[:, :, :, : other.used]
        self.tensor[:, first:, :, :start] = 0
        self.pads[first:] = [pad + start for pad in other.pads]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop every row but these, and the columns that no row needs any more."""
        trim = min((self.pads[row] for row in rows), default=self.used)
        self._rebuilt(rows, shift=trim, spare=_ROOM)

    def taken(self, row: int) -> Memory:
        """Return one row by itself; it stays here, too."""
        pad = self.pads[row]
        apart = Memory(self.layout, 1, self.used - pad)
        apart.tensor.copy_(self.tensor[:, row : row + 1, :, pad : self.used])
        apart.used = self.used - pad
        return apart

    def _rebuilt(self, rows: Sequence[int], *, shift: int, spare: int) -> None:
        """Move to a new tensor of these rows (-1 is a new one) without the first `shift` columns, or with more."""
        used, old = self.used - shift, self.tensor
        capacity = used + spare if used + spare > old.shape[3] or shift > 0 else old.shape[3]
        fresh = Memory(self.layout, len(rows), capacity)
        source, target = max(shift, 0), max(-shift, 0)
        known = [(place, row) for place, row in enumerate(rows) if row >= 0]
        if known:
            places, origins = (list(part) for part in zip(*known, strict=True))
            fresh.tensor[:, places, :, target:used] = old[:, origins, :, source : self.used]
            fresh.tensor[:, places, :, :target] = 0
        self.pads = [self.pads[row] - shift if row >= 0 else 0 for row in rows]
        self.tensor, self.used, self._hidden = fresh.tensor, used, None
