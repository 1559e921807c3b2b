"""The two encoders of text as torch modules: a bag of hashed n-grams, and attention. Knows no configuration.

Words arrive as numbers of 31 bits, 0 for padding, and every row keeps at least its padding: a row without a word gives
the zero vector.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_MULTIPLIER = 0x2545F4914F6CDD1D
"""Of xorshift64* (Vigna 2016): spreads the pair of two words over 63 bits."""


class NgramBag(nn.Module):
    """The sum of the vectors of all runs of 1 to n words over the root of their number.

    fastText takes the mean (Joulin et al. 2016). Over the root, long texts and short ones give vectors of about one
    length, and the table learns at the rates that suit the layers after it: on DBpedia's validation rows 96.65 % after
    5 epochs at 0.003, which the mean reaches with 10 epochs at 0.01.
    """

    def __init__(self, buckets: int, dimensions: int, ngrams: int) -> None:
        super().__init__()
        self.buckets = buckets
        self.ngrams = ngrams
        self.table = nn.EmbeddingBag(buckets + 1, dimensions, mode="sum", padding_idx=0)
        nn.init.uniform_(self.table.weight, -1 / dimensions, 1 / dimensions)
        with torch.no_grad():
            self.table.weight[0].zero_()

    def extra_repr(self) -> str:
        """Say what repr() cannot see in the table."""
        return f"ngrams={self.ngrams}"

    def entries(self, words: Tensor) -> Tensor:
        """Return the entry of each n-gram: (batch, words) -> (batch, n-grams), those of one word first; 0 is none."""
        runs = [words.long()]  # (batch, words)
        for _ in range(self.ngrams - 1):
            left = runs[-1][:, :-1]
            right = words[:, words.shape[1] - left.shape[1] :].long()
            mixed = (left * 31 + right) * _MULTIPLIER  # wraps, as a hash may
            mixed = (mixed ^ (mixed >> 29)) & 0x7FFFFFFFFFFFFFFF
            runs.append(torch.where((left != 0) & (right != 0), mixed | 1, 0))
        grams = torch.cat(runs, dim=1)
        return torch.where(grams != 0, grams % self.buckets + 1, 0)

    def encoded(self, vectors: Tensor, entries: Tensor) -> Tensor:
        """Do what `forward` does from the vectors on: (batch, n-grams, dimensions) -> (batch, dimensions)."""
        count = (entries != 0).sum(dim=1, keepdim=True).clamp(min=1)
        return vectors.sum(dim=1) / count.sqrt()

    def forward(self, words: Tensor) -> Tensor:
        """(batch, words) -> (batch, dimensions)."""
        entries = self.entries(words)
        count = (entries != 0).sum(dim=1, keepdim=True).clamp(min=1)
        return self.table(entries) / count.sqrt()  # type: ignore[no-any-return]  # a module call is Any


class Attention(nn.Module):
    """A small transformer over the words, averaged."""

    def __init__(self, *, buckets: int, width: int, layers: int, heads: int, longest: int, dropout: float) -> None:
        super().__init__()
        self.buckets = buckets
        self.longest = longest
        self.table = nn.Embedding(buckets + 1, width, padding_idx=0)
        self.places = nn.Embedding(longest, width)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        nn.init.normal_(self.table.weight, std=0.05)
        nn.init.normal_(self.places.weight, std=0.02)
        with torch.no_grad():
            self.table.weight[0].zero_()

    def entries(self, words: Tensor) -> Tensor:
        """Return the entry of each word: (batch, words) -> (batch, at most `longest`); 0 is none."""
        words = words[:, : self.longest].long()
        return torch.where(words != 0, words % self.buckets + 1, 0)

    def forward(self, words: Tensor) -> Tensor:
        """(batch, words) -> (batch, width)."""
        entries = self.entries(words)
        return self.encoded(self.table(entries), entries)

    def encoded(self, vectors: Tensor, entries: Tensor) -> Tensor:
        """Do what `forward` does from the vectors on: (batch, words, width) -> (batch, width)."""
        absent = entries == 0  # (batch, words)
        # A row of nothing but padding attends to its first place, since a softmax over nothing is not a number.
        masked = absent.clone()
        masked[:, 0] = False
        places = self.places(torch.arange(entries.shape[1], device=entries.device))
        hidden = self.layers(vectors + places, src_key_padding_mask=masked)  # (batch, words, width)
        present = (~absent).unsqueeze(2).to(hidden.dtype)
        return (hidden * present).sum(dim=1) / present.sum(dim=1).clamp(min=1)  # type: ignore[no-any-return]  # a module call is Any
