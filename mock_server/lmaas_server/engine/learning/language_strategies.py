"""How a candidate is made from a language model and feedback on its texts. Knows no gate and no files.

A copy is trained in place: never what is served. Of every batch of feedback the loss is

    demonstration   the mean negative log-likelihood of its tokens
    preference      DPO against the champion's likelihoods
    rating          KTO against them

and beside it, of texts of its own and of what it was taught, how far the candidate's next token has moved from the
champion's: in expectation the likelihood of own samples that learning.md asks for, with less noise, since the whole
distribution is compared. What compares texts pays no heed to how far the model goes, so every few steps its distance
from the champion is measured on texts it now writes, and learning ends where the budget is spent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lmaas.types import CosineSchedule, OneCycle
from lmaas_server.engine.bundle import Tensors, copied
from lmaas_server.engine.data.examples import Array
from lmaas_server.engine.data.tokens import Marked
from lmaas_server.engine.learning.language_losses import divergences, log_likelihoods, preference_loss, rating_loss
from lmaas_server.engine.learning.language_rows import IGNORED
from lmaas_server.engine.learning.language_setup import Learned
from lmaas_server.engine.learning.language_signals import Statement
from lmaas_server.engine.learning.optimizers import build_optimizer, set_learning_rate
from lmaas_server.engine.learning.own_texts import divergence, likelihoods, logits_of, padded, written
from lmaas_server.engine.learning.schedules import Rate, build_schedule
from lmaas_server.errors import InvalidError

BATCH = 32
REPLAYED, REMEMBERED = 2048, 1024
"""Tokens a step, about, of the replay and of the reservoir."""
REPLAY, REMEMBERING = 1.0, 0.5
CLIP = 1.0
LEAST_STEPS, LEAST_COMPARING = 60, 15
"""A handful is gone through as often as it takes: examples until they are known, comparisons until they tell."""
CHECK_EVERY = 5
CHECKED = 32
"""Texts that are written to see how far the candidate has come."""
LONGEST = 128
"""Tokens of such a text at most."""
_SHARES = (0.5, 0.25, 0.125)
"""Of the way beyond the budget that are tried before it is given up."""
_NUMBERS_AT_ONCE = 32_000_000
"""Of logits that are kept for the backward pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What makes a strategy: times the feedback is gone through, the weight of the replay, and the schedule."""

    epochs: int
    replay: float
    cycle: bool = False


PLANS = {
    "replay_distill": Plan(epochs=1, replay=REPLAY),
    "consolidate": Plan(epochs=4, replay=REPLAY, cycle=True),
    "finetune": Plan(epochs=1, replay=0.0),
    "retrain": Plan(epochs=1, replay=REPLAY),
}


@dataclass(slots=True, kw_only=True, eq=False)
class LanguageGround:
    """What a strategy works on; `network` learns, `champion` stays."""

    network: nn.Module
    champion: nn.Module
    said: Sequence[Statement]
    replay: Sequence[Marked]
    reservoir: Sequence[Marked]
    ends: frozenset[int]
    optimizer: Any
    seed: int
    beta: float
    budget: float
    """Nats a text by which the candidate may differ from the champion."""
    epochs: int | None = None
    drift: float = 0.0
    """Nats a text by which the candidate was found to differ, last."""
    spent: bool = False
    """Whether learning ended because the budget was."""
    steps: int = 0
    losses: list[float] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"LanguageGround({len(self.said)} statements, {len(self.replay)} texts to replay)"

    @property
    def compares(self) -> bool:
        """Whether anything of it pulls away from the champion without end."""
        return any(statement.kind != "demonstration" for statement in self.said)

    @property
    def prompts(self) -> list[list[int]]:
        """What texts were compared or rated, by what was asked."""
        return [statement.prompt for statement in self.said if statement.kind != "demonstration"]

    @property
    def length(self) -> int:
        """How long the texts are that it is judged by: as long as the longest of the feedback."""
        longest = (sum(text.learned) for statement in self.said for text in statement.texts)
        return max(1, min(LONGEST, max(longest, default=LONGEST)))


def learn(ground: LanguageGround, plan: Plan) -> Iterator[float]:
    """Train `ground.network` in place; yields the share of the steps that is done."""
    learned = Learned(ground.network)
    weights = [weight for weight in ground.network.parameters() if weight.requires_grad]
    optimizer = build_optimizer(weights, ground.optimizer)
    batches = list(_batches(ground, ground.epochs or plan.epochs))
    rate = _rate(ground, plan, len(batches))
    references = _references(ground)
    generator = np.random.default_rng((ground.seed, 2))
    kept = copied(learned.state_dict())
    for index, rows in enumerate(batches):
        set_learning_rate(optimizer, rate(index))
        optimizer.zero_grad(set_to_none=True)
        ground.losses.append(_backward(ground, rows, references))
        if not math.isfinite(ground.losses[-1]):
            raise InvalidError(
                f"the loss became {ground.losses[-1]} in step {index + 1}; use a smaller learning rate",
                code="diverged",
                param="optimizer.lr",
            )
        if plan.replay:
            _replay(ground, plan.replay, generator)
        torch.nn.utils.clip_grad_norm_(weights, CLIP)
        optimizer.step()
        ground.steps += 1
        if ground.compares and (ground.steps % CHECK_EVERY == 0 or index + 1 == len(batches)):
            drift = measured(ground, CHECKED, seed=ground.steps)
            if drift > ground.budget:
                _go_back(ground, learned, kept)
                return
            ground.drift, kept = drift, copied(learned.state_dict())
        yield (index + 1) / len(batches)


def _go_back(ground: LanguageGround, learned: Learned, kept: Tensors) -> None:
    """Go back towards the weights that were within the budget, as far as it takes."""
    beyond = copied(learned.state_dict())
    ground.spent = True
    for share in _SHARES:
        learned.load_state_dict({name: kept[name].lerp(tensor, share) for name, tensor in beyond.items()})
        drift = measured(ground, CHECKED, seed=ground.steps)
        if drift <= ground.budget:
            ground.drift = drift
            return
    learned.load_state_dict(kept)


def measured(ground: LanguageGround, count: int, *, seed: int) -> float:
    """Return KL(candidate || champion) in nats a text, on texts written for prompts of the feedback."""
    prompts = ground.prompts or [statement.prompt for statement in ground.said]
    chosen = np.random.default_rng((ground.seed, 3, seed)).integers(len(prompts), size=count)
    network = ground.network
    texts = written(network, [prompts[place] for place in chosen], length=ground.length, ends=ground.ends, seed=seed)
    return divergence(network, ground.champion, texts)


def _batches(ground: LanguageGround, epochs: int) -> Iterator[Array]:
    """Yield which statements a step learns; a handful is gone through as often as it takes to make enough steps."""
    generator = np.random.default_rng((ground.seed, 1))
    steps = -(-len(ground.said) // BATCH)
    shows = any(statement.kind == "demonstration" for statement in ground.said)
    least = LEAST_STEPS if shows else LEAST_COMPARING
    for _ in range(max(epochs, -(-least // steps)) if ground.epochs is None else epochs):
        order = generator.permutation(len(ground.said))
        yield from np.array_split(order, steps)


def _rate(ground: LanguageGround, plan: Plan, steps: int) -> Rate:
    lr = ground.optimizer.lr
    schedule = OneCycle(max_lr=min(10.0, 2 * lr)) if plan.cycle else CosineSchedule(warmup=0.05, final=0.1)
    return build_schedule(schedule, lr=lr, steps=steps, steps_per_epoch=steps)


def _references(ground: LanguageGround) -> list[Tensor]:
    """Return what the champion thinks of the texts of each statement."""
    texts = [text for statement in ground.said for text in statement.texts]
    found = likelihoods(ground.champion, texts)
    return _shared_out(found, ground.said)


def _shared_out(found: Tensor, said: Sequence[Statement]) -> list[Tensor]:
    """Return to each statement what is its own of one number a text."""
    ends = list(accumulate(len(statement.texts) for statement in said))
    return [found[first:last] for first, last in pairwise([0, *ends])]


def _backward(ground: LanguageGround, rows: Array, references: Sequence[Tensor]) -> float:
    """Add the gradients of a batch of feedback; return its loss."""
    weight = sum(ground.said[row].weight for row in rows)
    total = 0.0
    for part in _parts(ground, rows):
        inputs, targets = padded([text for row in part for text in ground.said[row].texts])
        found = log_likelihoods(logits_of(ground.network, inputs), targets)  # (texts,)
        parts = _shared_out(found, [ground.said[row] for row in part])
        losses = [
            ground.said[row].weight * _loss(ground, ground.said[row], own, references[row])
            for row, own in zip(part, parts, strict=True)
        ]
        loss = torch.stack(losses).sum() / weight
        loss.backward()
        total += float(loss.detach())
    return total


def _loss(ground: LanguageGround, statement: Statement, found: Tensor, reference: Tensor) -> Tensor:
    """Return the loss of one statement by the likelihoods of its texts, (texts,) each."""
    if statement.kind == "demonstration":
        return -found[0] / sum(statement.text.learned)
    gained = found - reference
    if statement.kind == "preference":
        return preference_loss(gained[0], gained[1], beta=ground.beta)
    return rating_loss(
        gained[0], torch.tensor(statement.good, device=found.device), drift=ground.drift, beta=ground.beta
    )


def _parts(ground: LanguageGround, rows: Array) -> Iterator[list[int]]:
    """Yield a batch in parts of about one length whose logits fit the memory."""
    words = int(ground.network.config.vocab_size)  # type: ignore[union-attr, arg-type]  # a PreTrainedModel
    size = {int(row): max(map(len, ground.said[row].texts)) for row in rows}
    part: list[int] = []
    texts = 0
    for row in sorted(size, key=lambda row: (size[row], row)):
        more = len(ground.said[row].texts)
        if part and (texts + more) * size[row] * words > _NUMBERS_AT_ONCE:
            yield part
            part, texts = [], 0
        part.append(row)
        texts += more
    if part:
        yield part


def _replay(ground: LanguageGround, weight: float, generator: np.random.Generator) -> None:
    """Add the gradients of what is to stay: the champion's next tokens, and texts of earlier feedback."""
    if drawn := _drawn(ground.replay, REPLAYED, generator):
        inputs, targets = padded(drawn)
        with torch.no_grad():
            known = logits_of(ground.champion, inputs)
        apart = divergences(known, logits_of(ground.network, inputs), targets).sum() / (targets != IGNORED).sum()
        (weight * apart).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    if drawn := _drawn(ground.reservoir, REMEMBERED, generator):
        inputs, targets = padded(drawn)
        found = log_likelihoods(logits_of(ground.network, inputs), targets).sum() / (targets != IGNORED).sum()
        (-REMEMBERING * found).backward()  # type: ignore[no-untyped-call]  # the same


def _drawn(texts: Sequence[Marked], tokens: int, generator: np.random.Generator) -> list[Marked]:
    """Return different texts at random, with the padding about so many tokens of them; at least one where there are."""
    found: list[Marked] = []
    longest = 0
    for place in generator.permutation(len(texts)):
        longest = max(longest, len(texts[place]))
        if found and (len(found) + 1) * longest > tokens:
            break
        found.append(texts[place])
    return found
