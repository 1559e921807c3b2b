"""Vectors for categories as a torch module. Knows no configuration."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class CategoryVectors(nn.Module):
    """Replaces the indices of categories by vectors and leaves numbers as they are.

    Index 0, the category training never saw, begins as the zero vector and says nothing.
    """

    def __init__(self, numbers: int, sizes: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.numbers = numbers
        self.tables = nn.ModuleList(nn.Embedding(size, width) for size, width in sizes)
        with torch.no_grad():
            for table in self.tables:
                nn.init.normal_(table.weight, std=0.1)  # type: ignore[arg-type]  # of a ModuleList torch says Module
                table.weight[0].zero_()  # type: ignore[index]  # likewise

    def forward(self, rows: Tensor) -> Tensor:
        """(batch, numbers + categories) -> (batch, numbers + all dimensions)."""
        indices = rows[:, self.numbers :].long()  # (batch, categories)
        vectors = [table(indices[:, place]) for place, table in enumerate(self.tables)]
        return torch.cat([rows[:, : self.numbers], *vectors], dim=1)
