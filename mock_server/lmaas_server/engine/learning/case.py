"""An update under way: the champion, its memory and the new rows, laid out for a strategy. Knows no gate."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lmaas.types import Adam, UpdateRequest
from lmaas_server.engine.bundle import Bundle, build_network, grown
from lmaas_server.engine.data.examples import Array
from lmaas_server.engine.data.feed import feed_of
from lmaas_server.engine.device import device
from lmaas_server.engine.learning.buffers import RESERVOIR_ROWS
from lmaas_server.engine.learning.reservoir import Reservoir
from lmaas_server.engine.learning.signals import Rows, Signals
from lmaas_server.engine.learning.strategies import Ground, Pool, remember
from lmaas_server.engine.learning.values import ValueScale
from lmaas_server.engine.registry import ARCHITECTURES

_UNLIKELY = -3.0
"""The logit of a class that is new to a model of several classes a row: one row in twenty."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Memory:
    """Rows of feedback, raw: those of the old reservoir first, then the new ones in order of arrival."""

    ids: tuple[str, ...]
    inputs: Array
    targets: Array
    against: Array
    weights: Array
    remembered: int
    """How many at the start are the old reservoir's."""

    def __repr__(self) -> str:
        return f"Memory({self.remembered} remembered, {len(self.ids) - self.remembered} new)"

    @classmethod
    def of(cls, champion: Bundle, fresh: Rows, retracted: Collection[str]) -> Memory:
        """Put the champion's reservoir, less what was retracted or is said again, before the new rows."""
        names = champion.buffers_info.get("reservoir_ids", [])
        gone = set(retracted).union(fresh.ids)
        kept = np.array([index for index, name in enumerate(names) if name not in gone], dtype=np.int64)
        inputs, targets = fresh.inputs, fresh.targets
        if len(kept):
            inputs = np.concatenate([champion.rows("reservoir")[kept], inputs])
            targets = np.concatenate([champion.targets("reservoir")[kept], targets])
        return cls(
            ids=tuple(names[index] for index in kept) + fresh.ids,
            inputs=inputs,
            targets=targets,
            against=np.concatenate([np.zeros(len(kept), dtype=bool), fresh.against]),
            weights=np.concatenate([np.ones(len(kept), dtype=np.float32), fresh.weights]),
            remembered=len(kept),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """What an update has before it. The champion's output layer is grown to the classes that feedback brings."""

    champion: Bundle
    signals: Signals
    request: UpdateRequest
    memory: Memory
    ground: Ground
    known: int
    """How many classes the champion knew before it was grown; 0 for values."""

    def __repr__(self) -> str:
        return f"Case({self.request.strategy}, {self.champion!r}, {self.memory!r})"

    @classmethod
    def of(cls, champion: Bundle, signals: Signals, request: UpdateRequest, retracted: Collection[str]) -> Case:
        """Lay out an update; seeds torch's random state, from which the weights of new classes are drawn."""
        torch.manual_seed(request.seed or 0)
        known = len(champion.target.get("classes", ()))
        champion = _with_classes(champion, list(signals.classes))
        memory = Memory.of(champion, signals.fresh, retracted)
        ground = _ground(champion, memory, request)
        remember(ground, np.arange(memory.remembered))
        return cls(champion=champion, signals=signals, request=request, memory=memory, ground=ground, known=known)


def value_scale(model: Bundle) -> ValueScale | None:
    """Return how a model's values are standardised; None for classes."""
    return ValueScale.from_json(model.values) if model.values else None


def _with_classes(champion: Bundle, classes: list[int | str]) -> Bundle:
    if list(champion.target.get("classes", ())) == classes:
        return champion
    target = {**champion.target, "classes": classes}
    wider = build_network(champion.architecture, champion.preprocessing.network_shape, len(classes))
    weights = grown(champion.weights, wider.state_dict())
    if champion.target.get("multiple"):
        # A yes or no by chance would spoil every row; a class nobody has shown yet is one that rows do not have.
        old = len(champion.target["classes"])
        weights["output.weight"][old:] = 0
        weights["output.bias"][old:] = _UNLIKELY
    return replace(champion, target=target, weights=weights)


def _ground(champion: Bundle, memory: Memory, request: UpdateRequest) -> Ground:
    feed, scale = feed_of(champion.preprocessing), value_scale(champion)
    generator = np.random.default_rng(request.seed or 0)
    return Ground(
        network=champion.network(),
        feed=feed,
        classes=scale is None,
        multiple=bool(champion.target.get("multiple")),
        anchor=Pool(
            inputs=feed.hold(champion.rows("anchor")),
            targets=as_learned(champion.targets("anchor"), scale).to(device()),
        ),
        anchor_outputs=champion.buffers["anchor.outputs"].to(device()),
        memory=Pool(inputs=feed.hold(memory.inputs), targets=as_learned(memory.targets, scale).to(device())),
        against=memory.against,
        weights=torch.from_numpy(memory.weights).to(device()),
        remembered=memory.remembered,
        reservoir=Reservoir(RESERVOIR_ROWS, generator),
        # Adam at 1e-3, as learning.md has it, is the recipe of mlp and cnn; a table of word vectors needs larger steps.
        optimizer=request.optimizer or Adam(lr=ARCHITECTURES[champion.architecture["type"]].recipe.learning_rate),
        epochs=request.epochs,
        generator=generator,
    )


def as_learned(targets: Array, scale: ValueScale | None) -> Tensor:
    """Return targets as a network learns them: class indices, or standardised values."""
    return torch.from_numpy(targets) if scale is None else scale.standardise(targets)
