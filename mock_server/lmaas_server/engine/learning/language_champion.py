"""The language model that an update begins from: what it is, remembers and writes. Knows no feedback."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from lmaas.types import CausalLM, LoRA
from lmaas_server.engine.architectures import causal_lm
from lmaas_server.engine.base_models import context_of
from lmaas_server.engine.data.examples import Json
from lmaas_server.engine.data.tokens import Marked, Tokens
from lmaas_server.engine.language_bundle import LanguageBundle, describe_language_bundle, save_language_bundle
from lmaas_server.engine.learning.language_buffers import LanguageBuffers
from lmaas_server.engine.learning.language_strategies import LONGEST
from lmaas_server.engine.learning.own_texts import written

OWN_TEXTS = 128
"""Texts of its own that a model is replayed, and measured on where it has few others."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LanguageChampion:
    """The model an update begins from, with what it remembers."""

    about: Json
    network: nn.Module
    tokens: Tokens
    config: Json
    buffers: LanguageBuffers

    @classmethod
    def load(cls, bundle: Path) -> LanguageChampion:
        """Read a stored model."""
        return cls(
            about=describe_language_bundle(bundle),
            network=causal_lm.load(bundle).eval().requires_grad_(requires_grad=False),
            tokens=Tokens.load(bundle),
            config=json.loads((bundle / "config.json").read_bytes()),
            buffers=LanguageBuffers.read(bundle),
        )

    @property
    def context(self) -> int:
        """How many tokens it can look back on."""
        return context_of(self.config)

    @property
    def lora(self) -> LoRA | None:
        """The adapters that its training learned, and an update of it learns; None where all weights learn."""
        return CausalLM.model_validate(self.about["architecture"]).lora

    def own_texts(self, *, seed: int) -> list[Marked]:
        """Return what it writes when nobody has asked for anything."""
        first = [next((token for token in (self.tokens.bos, self.tokens.eos) if token is not None), 0)]
        length = min(LONGEST, self.context - 1)
        return written(self.network, [first] * OWN_TEXTS, length=length, ends=self.tokens.ends, seed=seed)

    def holdout(self, texts: tuple[Marked, ...], *, seed: int) -> tuple[Marked, ...]:
        """Return the texts to judge by: where there are few, with its own."""
        return texts if len(texts) >= OWN_TEXTS else (*texts, *self.own_texts(seed=seed))

    def save(self, network: nn.Module, buffers: LanguageBuffers, metrics: Json, directory: Path) -> None:
        """Store what came of it: weights and buffers are new, all else is its own."""
        bundle = LanguageBundle(
            architecture=self.about["architecture"],
            input=self.about["input"],
            config=self.config,
            tokens=self.tokens,
            weights=causal_lm.state_of(network),
            training=self.about["training"],
            metrics=metrics,
            buffers=buffers.tensors(),
            buffers_info=buffers.info(),
        )
        save_language_bundle(bundle, directory)
