"""The candidate before the gate: champion and candidate answer the same rows. Knows no files."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lmaas.types import Gate
from lmaas_server.engine.bundle import Bundle, Tensors
from lmaas_server.engine.data.examples import Array, Json
from lmaas_server.engine.data.feed import feed_of
from lmaas_server.engine.learning.buffers import SCORES
from lmaas_server.engine.learning.case import Case, as_learned, value_scale
from lmaas_server.engine.learning.evaluate import figures_of
from lmaas_server.engine.learning.gate import ALPHAS, Anchor, Fresh, check_anchor, check_fresh, reason_of
from lmaas_server.engine.learning.scoring import outputs_of, scores_of
from lmaas_server.engine.learning.signals import Rows
from lmaas_server.engine.planning import output_size


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Verdict:
    """What the gate said, and the model it said it of: the candidate, or one on the way to it from the champion."""

    model: Bundle
    reason: str
    anchor: Anchor
    fresh: Fresh | None
    alpha: float
    metrics: Json
    scores: Array
    """Of that model's own answers to the holdout."""

    def __repr__(self) -> str:
        return f"Verdict({self.reason}, alpha={self.alpha})"


def judge(case: Case, candidate: Bundle) -> Verdict:
    """Ask the gate about a candidate."""
    gate = case.request.gate or Gate()
    holdout = _holdout_rows(case.champion)
    # Two networks trained apart have no middle, so a retrained one is taken whole or not at all.
    alphas = ALPHAS[:1] if case.request.strategy == "retrain" else ALPHAS
    anchor, model, alpha, outputs = _first_that_holds(case, candidate, holdout, gate, alphas)
    fresh = None
    if anchor.passed or not gate.enabled:
        held = case.signals.held
        before, after = (_scores(case, one, held, _outputs(one, held)) for one in (case.champion, model))
        fresh = check_fresh(before, after, gate)
    return Verdict(
        model=model,
        reason=reason_of(anchor, fresh) if gate.enabled else "gate_disabled",
        anchor=anchor,
        fresh=fresh,
        alpha=alpha,
        metrics=_metrics(model, holdout, outputs, anchor, fresh),
        scores=scores_of(outputs, holdout.targets, value_scale(model)),
    )


def _first_that_holds(
    case: Case, candidate: Bundle, holdout: Rows, gate: Gate, alphas: tuple[float, ...]
) -> tuple[Anchor, Bundle, float, Tensor]:
    """Return the first of the models between candidate and champion that passes (A); failing all, the candidate.

    With it comes what it answers to the holdout.
    """
    kept = case.champion.buffers.get(SCORES)
    before = _scores(case, case.champion, holdout, _outputs(case.champion, holdout)) if kept is None else kept.numpy()
    outputs = _outputs(candidate, holdout)
    outcome = check_anchor(before, _scores(case, candidate, holdout, outputs), gate)
    if outcome.passed or not gate.enabled:
        return outcome, candidate, 1.0, outputs
    for alpha in alphas[1:]:
        between = replace(candidate, weights=_between(case.champion, candidate, alpha))
        said = _outputs(between, holdout)
        later = check_anchor(before, _scores(case, between, holdout, said), gate)
        if later.passed:
            return later, between, alpha, said
    return outcome, candidate, 1.0, outputs


def _between(champion: Bundle, candidate: Bundle, alpha: float) -> Tensors:
    return {
        name: champion.weights[name].lerp(tensor, alpha) if tensor.is_floating_point() else tensor
        for name, tensor in candidate.weights.items()
    }


def _outputs(model: Bundle, rows: Rows) -> Tensor:
    """Return what a model's network gives for rows: (rows, outputs)."""
    if not len(rows):
        return torch.empty(0, output_size(model.target))
    feed = feed_of(model.preprocessing)  # a retrained candidate has its own
    return outputs_of(model.network(), feed, feed.hold(rows.inputs))


def _scores(case: Case, model: Bundle, rows: Rows, outputs: Tensor) -> Array:
    """Return how good each row's answer is; the champion's deviations are the measure of both."""
    scale, measure = value_scale(model), value_scale(case.champion)
    if scale is None and model is case.champion:
        # A class it was grown to has weights by chance, and by chance it would be right about a new class.
        outputs = outputs.index_fill(1, torch.arange(case.known, outputs.shape[1]), -torch.inf)
    scores = scores_of(outputs, rows.targets, scale, measure.std if measure else None)
    return np.where(rows.against, 1 - scores, scores)


def _holdout_rows(champion: Bundle) -> Rows:
    targets = champion.targets("holdout")
    count = len(targets)
    return Rows(
        ids=("",) * count,
        inputs=champion.rows("holdout"),
        targets=targets if champion.values is None else targets.reshape(count, -1),
        against=np.zeros(count, dtype=bool),
        weights=np.ones(count, dtype=np.float32),
    )


def _metrics(model: Bundle, holdout: Rows, outputs: Tensor, anchor: Anchor, fresh: Fresh | None) -> Json:
    scale = value_scale(model)
    figures = figures_of(outputs, as_learned(holdout.targets, scale), model.target, scale)
    figures["anchor_change"] = anchor.candidate - anchor.champion
    if fresh is not None and fresh.rows:
        figures |= {"fresh_champion": fresh.champion, "fresh_candidate": fresh.candidate}
    return figures
