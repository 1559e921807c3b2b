"""A language model before the gate: champion and candidate read the same texts. Knows no files and no training.

(A) the anchor holdout: the mean log-likelihood of a text's tokens, and by the one-sided bound of its paired change how
    much of it may be lost. learning.md lets base text become dearer by 0.15 nats a token, 16 % of perplexity; that is
    the margin, unless the request names another.
(B) the fresh holdout, by McNemar's test on which of the two models is nearer to what was said: of a preference how much
    likelier the better text is than the other, of a demonstration and of a text that was liked how likely it is, of
    one that was not how unlikely.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from lmaas.types import Gate
from lmaas_server.engine.architectures import causal_lm
from lmaas_server.engine.data.examples import Array, Json
from lmaas_server.engine.data.tokens import Marked
from lmaas_server.engine.learning.gate import ALPHAS, Anchor, Fresh, check_anchor, check_fresh, reason_of
from lmaas_server.engine.learning.language_signals import Statement
from lmaas_server.engine.learning.own_texts import likelihoods

Weights = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LanguageVerdict:
    """What the gate said, and the weights it said it of: the candidate's, or some on the way to them."""

    network: nn.Module
    reason: str
    anchor: Anchor
    fresh: Fresh | None
    alpha: float
    metrics: Json

    def __repr__(self) -> str:
        return f"LanguageVerdict({self.reason}, alpha={self.alpha})"


def judge_language(
    champion: nn.Module,
    candidate: nn.Module,
    *,
    holdout: Sequence[Marked],
    held: Sequence[Statement],
    gate: Gate,
    whole: bool,
) -> LanguageVerdict:
    """Ask the gate about a candidate; one that was trained from scratch is taken `whole` or not at all."""
    before = _means(champion, holdout)
    network, alpha = candidate, 1.0
    anchor = check_anchor(before, after := _means(candidate, holdout), gate)
    if gate.enabled and not anchor.passed and not whole:
        for share in ALPHAS[1:]:
            between = _between(champion, candidate, share)
            scores = _means(between, holdout)
            later = check_anchor(before, scores, gate)
            if later.passed:
                anchor, network, alpha, after = later, between, share, scores
                break
    fresh = None
    if anchor.passed or not gate.enabled:
        fresh = check_fresh(_scores(champion, held), _scores(network, held), gate)
    return LanguageVerdict(
        network=network,
        reason=reason_of(anchor, fresh) if gate.enabled else "gate_disabled",
        anchor=anchor,
        fresh=fresh,
        alpha=alpha,
        metrics=_metrics(after, holdout, anchor, fresh),
    )


def _between(champion: nn.Module, candidate: nn.Module, alpha: float) -> nn.Module:
    network = copy.deepcopy(champion)
    old, new = causal_lm.state_of(champion), causal_lm.state_of(candidate)
    causal_lm.put_state(
        network,
        {name: old[name].lerp(tensor, alpha) if tensor.is_floating_point() else tensor for name, tensor in new.items()},
    )
    return network


def _means(network: nn.Module, texts: Sequence[Marked]) -> Array:
    """Return the mean log-likelihood of each text's learned tokens."""
    if not texts:
        return np.empty(0)
    counts = np.array([sum(text.learned[1:]) for text in texts])
    means: Array = likelihoods(network, texts).double().cpu().numpy() / counts
    return means


def _scores(network: nn.Module, held: Sequence[Statement]) -> Array:
    """Return how near the network is to what each statement says, in nats a token; of two texts in nats."""
    if not held:
        return np.empty(0)
    found = likelihoods(network, [text for statement in held for text in statement.texts]).double().tolist()
    scores = []
    for statement in held:
        own, found = found[: len(statement.texts)], found[len(statement.texts) :]
        if statement.kind == "preference":
            scores.append(own[0] - own[1])
        else:
            scores.append((1 if statement.good else -1) * own[0] / sum(statement.text.learned[1:]))
    return np.array(scores)


def _metrics(after: Array, holdout: Sequence[Marked], anchor: Anchor, fresh: Fresh | None) -> Json:
    counts = np.array([sum(text.learned[1:]) for text in holdout])
    loss = -float((after * counts).sum() / counts.sum()) if len(counts) else math.nan
    figures = {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
    figures["anchor_change"] = anchor.candidate - anchor.champion
    if fresh is not None and fresh.rows:
        figures |= {"fresh_champion": fresh.champion, "fresh_candidate": fresh.candidate}
        figures["fresh_won"] = (fresh.won + (fresh.rows - fresh.won - fresh.lost) / 2) / fresh.rows
    return figures
