"""How a candidate is made from the champion's weights and feedback, one function a strategy. Knows no gate.

Each is a generator of the share of its steps that is done, and trains `ground.network` in place: a copy, never what is
served. All run in evaluation mode: batch norm keeps its statistics and dropout its peace, so that the champion's
outputs on the anchor can be held to.

    replay_distill  new rows with replay of anchor and reservoir and distillation of the champion (the default)
    consolidate     the same loss for longer, all feedback shuffled together, with a one-cycle learning rate
    finetune        the new rows alone; it forgets what the feedback does not show
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lmaas.types import Adam, OneCycle
from lmaas_server.engine.architectures.folding import folded
from lmaas_server.engine.data.examples import Array
from lmaas_server.engine.data.feed import Feed, Held, joined
from lmaas_server.engine.learning.optimizers import build_optimizer, set_learning_rate
from lmaas_server.engine.learning.reservoir import Reservoir
from lmaas_server.engine.learning.schedules import build_schedule

BATCH = 32
STEPS_PER_BATCH = 5
LEAST_STEPS = 100
MOST_STEPS_PER_BATCH = 20
"""A batch is learned in five steps (learning.md), in up to twenty where fewer than a hundred would be made in all."""
WARM_UP = 0.2
WARM_DOWN = 0.5
"""Shares of the steps in which the rate rises to the optimizer's and falls to 0. A fresh Adam moves every weight by the
whole rate however small its gradient, which costs what was known, and a last step of full length leaves noise. Against
five steps at a constant rate, without the gate: of two voices never heard (250 corrections) one 92.8 -> 97.2 %, the
other 99.2 % as before, known voices 97.0 -> 99.0 % both times; MNIST turned by 45 degrees (3,200) 92.3 -> 93.6 %,
upright 96.1 -> 96.9 %."""
REPLAY = 0.5
"""Weight of each of: the anchor's targets, the champion's outputs on it, the reservoir (learning.md)."""
CLIP = 1.0
FINETUNE_EPOCHS = 5
CONSOLIDATE_EPOCHS = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Rows as a Feed holds them, with their targets."""

    inputs: Held
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        return f"Pool({len(self)} rows)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ground:
    """What a strategy works on. `memory` holds the old reservoir's rows, then the new ones in order of arrival."""

    network: nn.Sequential
    feed: Feed
    classes: bool
    multiple: bool = False
    """Whether a row has any number of classes."""
    anchor: Pool
    anchor_outputs: Tensor
    memory: Pool
    against: Array
    """Of each row in `memory`, whether it says what the row is not."""
    weights: Tensor
    remembered: int
    reservoir: Reservoir
    optimizer: Any
    epochs: int | None
    generator: np.random.Generator

    def __repr__(self) -> str:
        return f"Ground({len(self.new)} new, {self.remembered} remembered, {len(self.anchor)} anchors)"

    @property
    def new(self) -> Array:
        """Indices into `memory` of the rows to learn from."""
        return np.arange(self.remembered, len(self.memory))


def replay_distill(ground: Ground) -> Iterator[float]:
    """Learn batch after batch of new rows, in several steps each, beside rows of the anchor and of the reservoir."""
    spec = ground.optimizer or Adam()
    optimizer = build_optimizer(ground.network.parameters(), spec)
    batches = [ground.new[at : at + BATCH] for at in range(0, len(ground.new), BATCH)]
    steps = min(MOST_STEPS_PER_BATCH, max(STEPS_PER_BATCH, math.ceil(LEAST_STEPS / len(batches))))
    for index, rows in enumerate(batches):
        for step in range(steps):
            set_learning_rate(optimizer, spec.lr * _trapezium((index * steps + step) / (len(batches) * steps)))
            _step(ground, optimizer, _replay_loss(ground, rows))
        remember(ground, rows)
        yield (index + 1) / len(batches)


def consolidate(ground: Ground) -> Iterator[float]:
    """Learn all feedback together for several epochs under a one-cycle rate that tops at twice the optimizer's."""
    spec = ground.optimizer or Adam()
    optimizer = build_optimizer(ground.network.parameters(), spec)
    remember(ground, ground.new)
    batches = list(_shuffled(ground, ground.epochs or CONSOLIDATE_EPOCHS))
    cycle = OneCycle(max_lr=min(10.0, 2 * spec.lr))
    rate = build_schedule(cycle, lr=spec.lr, steps=len(batches), steps_per_epoch=len(batches))
    for index, rows in enumerate(batches):
        set_learning_rate(optimizer, rate(index))
        _step(ground, optimizer, _replay_loss(ground, rows))
        yield (index + 1) / len(batches)


def finetune(ground: Ground) -> Iterator[float]:
    """Learn the new rows alone, which forgets what they do not show: the method to compare the others with."""
    optimizer = build_optimizer(ground.network.parameters(), ground.optimizer or Adam())
    batches = list(_shuffled(ground, ground.epochs or FINETUNE_EPOCHS))
    for index, rows in enumerate(batches):
        outputs = folded(ground.network, ground.feed.batch(ground.memory.inputs[rows]))
        losses = _losses(ground, outputs, ground.memory.targets[rows], ground.against[rows])
        _step(ground, optimizer, losses.dot(_shares(ground, rows)))
        yield (index + 1) / len(batches)
    remember(ground, ground.new)


def _trapezium(share: float) -> float:
    """Return the part of the learning rate at a share of the steps."""
    return min(1.0, (share + 0.01) / WARM_UP, (1 - share) / WARM_DOWN)


STRATEGIES: dict[str, Callable[[Ground], Iterator[float]]] = {
    "consolidate": consolidate,
    "finetune": finetune,
    "replay_distill": replay_distill,
}


def remember(ground: Ground, rows: Array) -> None:
    """Put rows into the reservoir; what only says what a row is not cannot be replayed."""
    told = rows[~ground.against[rows]]
    for row, place in zip(told.tolist(), _places_in_reservoir(ground, told), strict=True):
        ground.reservoir.add(row, place)


def _places_in_reservoir(ground: Ground, rows: Array) -> list[int | None]:
    """Return the class whose room each row takes; values and sets of classes share one."""
    return ground.memory.targets[rows].tolist() if ground.classes and not ground.multiple else [None] * len(rows)


def _shuffled(ground: Ground, epochs: int) -> Iterator[Array]:
    for _ in range(epochs):
        order = ground.generator.permutation(ground.new)
        yield from (order[at : at + BATCH] for at in range(0, len(order), BATCH))


def _replay_loss(ground: Ground, rows: Array) -> Tensor:
    anchors = ground.generator.choice(len(ground.anchor), size=min(BATCH, len(ground.anchor)), replace=False)
    drawn = ground.reservoir.draw(BATCH)
    told = np.concatenate([rows, drawn])
    parts = [ground.memory.inputs[told], ground.anchor.inputs[anchors]]
    outputs = folded(ground.network, joined([ground.feed.batch(part) for part in parts]))  # (told + anchor, outputs)
    targets = torch.cat([ground.memory.targets[told], ground.anchor.targets[anchors]])
    against = np.concatenate([ground.against[told], np.zeros(len(anchors), dtype=bool)])
    shares = torch.cat([_shares(ground, rows), _even(ground, len(drawn)), _even(ground, len(anchors))])
    champion = ground.anchor_outputs[anchors]  # (anchor, old outputs)
    distilled = functional.mse_loss(outputs[len(told) :, : champion.shape[1]], champion)
    return _losses(ground, outputs, targets, against).dot(shares) + REPLAY * distilled


def _shares(ground: Ground, rows: Array) -> Tensor:
    """Return by how much the loss of each row counts: by its weight, in all 1."""
    weights = ground.weights[rows]
    return weights / weights.sum()


def _even(ground: Ground, count: int) -> Tensor:
    """Return the shares of rows that are replayed, in all REPLAY."""
    return ground.weights.new_full((count,), REPLAY / max(1, count))


def _losses(ground: Ground, outputs: Tensor, targets: Tensor, against: Array) -> Tensor:
    """Return the loss of each row: of what it is, or, where `against` says so, -log(1 - p) of what it is not."""
    if ground.multiple:
        return functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none").mean(dim=1)
    if not ground.classes:
        return (outputs - targets).square().mean(dim=1)
    likely = outputs.log_softmax(dim=1)
    losses = functional.nll_loss(likely, targets, reduction="none")
    if against.any():
        # log(1 - p) as the log of the other classes' share: computed from p it has no gradient where the model is
        # certain, which is just where being told that it is wrong matters.
        others = likely.scatter(1, targets[:, None], -torch.inf).logsumexp(dim=1)
        losses = torch.where(torch.from_numpy(against).to(outputs.device), -others, losses)
    return losses


def _step(ground: Ground, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    nn.utils.clip_grad_norm_(ground.network.parameters(), CLIP)
    optimizer.step()
