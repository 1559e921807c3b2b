"""Which token comes next: scores and wishes in, tokens out. Knows no network and no text.

Every row is drawn with a number of its own, so that what is drawn beside it changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How one text is to be written."""

    max_tokens: int
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int | None = None

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature == 0

    @property
    def is_cut(self) -> bool:
        """Whether unlikely tokens are left out."""
        return self.top_k is not None or (self.top_p is not None and self.top_p < 1)


def choose(scores: Tensor, wishes: Sequence[tuple[Sampling, Random]]) -> list[int]:
    """Return a token for each row of (rows, vocabulary)."""
    chosen: list[int] = scores.argmax(dim=1).tolist()
    for cut, draw in ((False, _drawn), (True, _drawn_from_cut)):
        rows = [row for row, (wish, _) in enumerate(wishes) if not wish.is_greedy and wish.is_cut == cut]
        if rows:
            for row, token in zip(rows, draw(scores[rows], [wishes[row] for row in rows]), strict=True):
                chosen[row] = token
    return chosen


def log_chances(scores: Tensor, token: int, top: int) -> tuple[float, list[tuple[int, float]]]:
    """Return the log-probability of a token by scores of (vocabulary,), and the likeliest tokens with theirs."""
    logs = scores.log_softmax(dim=0)
    best = logs.topk(min(top, len(logs)))
    return float(logs[token]), list(zip(best.indices.tolist(), best.values.tolist(), strict=True))


def _drawn(scores: Tensor, wishes: Sequence[tuple[Sampling, Random]]) -> list[int]:
    chances = _warmed(scores, wishes).softmax(dim=1)
    return _inverted(chances, wishes).tolist()


def _drawn_from_cut(scores: Tensor, wishes: Sequence[tuple[Sampling, Random]]) -> list[int]:
    """Draw from the k likeliest, then from the likeliest that together reach p, as transformers orders it."""
    warmed, tokens = _warmed(scores, wishes).sort(dim=1, descending=True, stable=True)
    size = scores.shape[1]
    kept = torch.tensor([wish.top_k or size for wish, _ in wishes], device=scores.device)[:, None]
    warmed = warmed.masked_fill(torch.arange(size, device=scores.device)[None] >= kept, -torch.inf)
    chances = warmed.softmax(dim=1)
    shares = [1.0 if wish.top_p is None else wish.top_p for wish, _ in wishes]
    share = torch.tensor(shares, dtype=torch.float64, device=scores.device)[:, None]
    before = chances.double().cumsum(dim=1) - chances
    chances = chances.masked_fill((before >= share) & (share < 1), 0.0)
    return tokens.gather(1, _inverted(chances, wishes)[:, None])[:, 0].tolist()


def _warmed(scores: Tensor, wishes: Sequence[tuple[Sampling, Random]]) -> Tensor:
    return scores / torch.tensor([[wish.temperature] for wish, _ in wishes], device=scores.device)


def _inverted(chances: Tensor, wishes: Sequence[tuple[Sampling, Random]]) -> Tensor:
    """Draw by inverting the distribution; chances need not sum to one."""
    heaps = chances.double().cumsum(dim=1)
    drawn = torch.tensor([[random.random()] for _, random in wishes], dtype=torch.float64, device=chances.device)
    points = drawn * heaps[:, -1:]
    found = torch.searchsorted(heaps, points, right=True)[:, 0]
    # A point at the very end lies on what has no chance at all: go back to the last that has.
    last = (chances > 0).long().cumsum(dim=1).argmax(dim=1)
    return torch.minimum(found, last)
