"""Texts kept with a language model so that it can learn from feedback without forgetting. Knows no update.

    anchor     rows of the training, at most 500 of them
    holdout    rows that training never saw; own texts where it had none, from the first update on
    reservoir  up to 2,000 texts of feedback that earlier updates learned to write; empty after a training

A row is its tokens, each with a mark where it was learned. All rows of a buffer lie one after the other in two tensors.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lmaas_server.engine.bundle import describe_bundle, read_tensors
from lmaas_server.engine.data.examples import Json
from lmaas_server.engine.data.tokens import Marked
from lmaas_server.engine.language_bundle import BUFFERS
from lmaas_server.engine.learning.language_rows import Rows, marked
from lmaas_server.engine.learning.language_setup import LanguageSetup
from lmaas_server.engine.learning.reservoir import Reservoir

ANCHOR_ROWS, HOLDOUT_ROWS = 500, 500
BUFFER_TOKENS = 32_768
"""Of anchor and holdout each: what is measured at every update must not take longer than the update."""
RESERVOIR_ROWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageBuffers:
    """The texts of a version."""

    anchor: tuple[Marked, ...] = ()
    holdout: tuple[Marked, ...] = ()
    reservoir: tuple[Marked, ...] = ()
    reservoir_ids: tuple[str, ...] = ()
    """The item of feedback that each text of the reservoir comes from."""

    def __repr__(self) -> str:
        return (
            f"LanguageBuffers({len(self.anchor)} anchor, {len(self.holdout)} holdout, {len(self.reservoir)} reservoir)"
        )

    @classmethod
    def of_training(cls, setup: LanguageSetup) -> LanguageBuffers:
        """Choose anchor and holdout of a fresh training."""
        generator = np.random.default_rng((setup.request.seed or 0, 4))
        return cls(
            anchor=_chosen(setup.rows, ANCHOR_ROWS, generator),
            holdout=_chosen(setup.held, HOLDOUT_ROWS, generator) if setup.held_out else (),
        )

    @classmethod
    def read(cls, directory: Path) -> LanguageBuffers:
        """Read the buffers of a stored model; one that was stored without any has none."""
        if not (directory / BUFFERS).exists():
            return cls()
        tensors = read_tensors(directory / BUFFERS)
        info = describe_bundle(directory).get("buffers", {})
        return cls(
            anchor=_unpacked(tensors, "anchor"),
            holdout=_unpacked(tensors, "holdout"),
            reservoir=_unpacked(tensors, "reservoir"),
            reservoir_ids=tuple(info.get("reservoir_ids", ())),
        )

    def without(self, ids: Collection[str]) -> LanguageBuffers:
        """Return the same less what was said in these items of feedback."""
        kept = [place for place, id in enumerate(self.reservoir_ids) if id not in ids]
        return self._keeping(kept, self.reservoir, self.reservoir_ids)

    def remembering(self, texts: Sequence[Marked], ids: Sequence[str], *, seed: int) -> LanguageBuffers:
        """Return the same with more texts, those of the items `ids`: of all each has the same chance to stay."""
        all_texts, all_ids = (*self.reservoir, *texts), (*self.reservoir_ids, *ids)
        reservoir = Reservoir(RESERVOIR_ROWS, np.random.default_rng((seed, 5)))
        for place in range(len(all_texts)):
            reservoir.add(place, None)
        return self._keeping(reservoir.rows().tolist(), all_texts, all_ids)

    def _keeping(self, places: Sequence[int], texts: Sequence[Marked], ids: Sequence[str]) -> LanguageBuffers:
        reservoir, reservoir_ids = tuple(texts[place] for place in places), tuple(ids[place] for place in places)
        return replace(self, reservoir=reservoir, reservoir_ids=reservoir_ids)

    def tensors(self) -> dict[str, Tensor]:
        """Return what `read` reads."""
        named = {"anchor": self.anchor, "holdout": self.holdout, "reservoir": self.reservoir}
        return {key: tensor for name, texts in named.items() for key, tensor in _packed(texts, name).items()}

    def info(self) -> Json:
        """Return what bundle.json says of them."""
        counts = {"anchor": len(self.anchor), "holdout": len(self.holdout), "reservoir": len(self.reservoir)}
        return {**counts, "reservoir_ids": list(self.reservoir_ids)}


def _chosen(rows: Rows, count: int, generator: np.random.Generator) -> tuple[Marked, ...]:
    """Return rows at random, at most so many and not too many tokens."""
    length = max(1, rows.tokens // max(1, len(rows)))
    wanted = set(generator.permutation(len(rows))[: min(count, max(1, BUFFER_TOKENS // length))].tolist())
    found: list[Marked] = []
    first = 0
    for batch in rows.in_order():
        places = [place for place in range(len(batch.inputs)) if first + place in wanted]
        first += len(batch.inputs)
        if places:
            found += [text for place, text in enumerate(marked(batch)) if place in places]
    return tuple(found)


def _packed(texts: tuple[Marked, ...], name: str) -> dict[str, Tensor]:
    return {
        f"{name}.ids": torch.tensor([token for text in texts for token in text.ids], dtype=torch.int32),
        f"{name}.learned": torch.tensor([mark for text in texts for mark in text.learned], dtype=torch.uint8),
        f"{name}.lengths": torch.tensor([len(text) for text in texts], dtype=torch.int32),
    }


def _unpacked(tensors: dict[str, Tensor], name: str) -> tuple[Marked, ...]:
    ids, learned = tensors[f"{name}.ids"].tolist(), tensors[f"{name}.learned"].bool().tolist()
    edges = pairwise(accumulate(tensors[f"{name}.lengths"].tolist(), initial=0))
    return tuple(Marked(ids=ids[first:last], learned=learned[first:last]) for first, last in edges)
