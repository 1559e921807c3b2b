"""From feedback on texts to a candidate and a verdict: sorts, trains a copy, asks the gate. Knows no deployment.

The candidate is reported whether or not it passed; `result["promoted"]` says whether it may be served.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from lmaas.types import Adam, CausalLM, Gate, LoRA, TrainingRequest, UpdateRequest, Validation
from lmaas_server.engine.architectures import causal_lm
from lmaas_server.engine.base_models import context_of
from lmaas_server.engine.data.examples import Examples, Json
from lmaas_server.engine.data.tokens import Marked, Tokens
from lmaas_server.engine.language_bundle import LanguageBundle, describe_language_bundle, save_language_bundle
from lmaas_server.engine.language_planning import BETA, KL_BUDGET, plan_language_update
from lmaas_server.engine.learning.language import train_language
from lmaas_server.engine.learning.language_buffers import RESERVOIR_ROWS, LanguageBuffers
from lmaas_server.engine.learning.language_setup import split_examples
from lmaas_server.engine.learning.language_signals import LanguageSignals, Statement, read_language_signals
from lmaas_server.engine.learning.language_strategies import LONGEST, PLANS, LanguageGround, learn, measured
from lmaas_server.engine.learning.language_verdict import LanguageVerdict, judge_language
from lmaas_server.engine.learning.own_texts import written
from lmaas_server.engine.learning.reservoir import Reservoir
from lmaas_server.engine.learning.result import counts_of, result_of
from lmaas_server.engine.learning.signals import Item
from lmaas_server.engine.learning.wishes import Control, Pace, no_wish, stop_if_cancelled
from lmaas_server.engine.reports import Finished, Message, Metrics, Progress, Report
from lmaas_server.errors import InvalidError

OWN_TEXTS = 128
"""Texts of its own that a model is replayed, and measured on where it has few others."""
_STEPS = 1000
_RATES = ((1_000_000, 1e-3, 3e-4), (20_000_000, 3e-4, 1e-4), (200_000_000, 1e-4, 2e-5), (2**63, 3e-5, 5e-6))
"""Learning rates for models of up to so many weights: of examples, and of comparisons, which say little of much."""
_ADAPTERS_RATES = (3e-3, 1e-3)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Champion:
    """The model an update begins from, with what it remembers."""

    about: Json
    network: nn.Module
    tokens: Tokens
    config: Json
    buffers: LanguageBuffers

    @classmethod
    def load(cls, bundle: Path) -> _Champion:
        return cls(
            about=describe_language_bundle(bundle),
            network=causal_lm.load(bundle).eval().requires_grad_(requires_grad=False),
            tokens=Tokens.load(bundle),
            config=json.loads((bundle / "config.json").read_bytes()),
            buffers=LanguageBuffers.read(bundle),
        )

    @property
    def context(self) -> int:
        return context_of(self.config)

    @property
    def lora(self) -> LoRA | None:
        return CausalLM.model_validate(self.about["architecture"]).lora

    def own_texts(self, *, seed: int) -> list[Marked]:
        """Return what it writes when nobody has asked for anything."""
        first = [next((token for token in (self.tokens.bos, self.tokens.eos) if token is not None), 0)]
        length = min(LONGEST, self.context - 1)
        return written(self.network, [first] * OWN_TEXTS, length=length, ends=self.tokens.ends, seed=seed)


def update_language(
    bundle: Path,
    feedback: Iterable[Item],
    examples: Examples | None,
    request: UpdateRequest,
    *,
    base: Path | None = None,
    directory: Path,
    resume: Path | None = None,
    control: Control = no_wish,
    retracted: Collection[str] = (),
) -> Iterator[Report]:
    """Learn from feedback on texts and judge the result; yields reports, the last of them Finished.

    Interrupted, it begins again and reaches the same weights: all its chances follow from the request's seed. Only
    `retrain` writes checkpoints and goes on from one.

    Args:
        bundle: the champion's directory.
        feedback: dicts of `id`, `kind`, `value`, `weight`, `source`, `created_at`, `prediction_id`, `index`, and
            `prompt`, the row that was asked. Of a preference `chosen` and `rejected`, the texts; of a rating `shown`.
            `chosen_ended`, `rejected_ended` and `shown_ended` say whether such a text ended by itself.
        examples: the rows the champion's first training had; needed by `retrain` alone.
        request: the strategy with its settings.
        base: what the champion's first training began from, unless it was a fresh Llama; for `retrain`.
        directory: an own, writable place; the candidate comes to lie in `directory/bundle`.
        resume: a checkpoint of `retrain`.
        control: asked between steps.
        retracted: ids of feedback that must not be learned from again, wherever it has been kept.

    Raises:
        Paused, Cancelled: where `control` asked for it; only `retrain` pauses.
        InvalidError: `dataset_needed`, where `retrain` is given no examples; `diverged`.
    """
    request = plan_language_update(request)
    champion = _Champion.load(bundle)
    form = str(champion.about["input"].get("form", ""))
    signals = read_language_signals(
        feedback,
        champion.tokens,
        form=form,
        context=champion.context,
        retracted=retracted,
        max_source_share=request.max_source_share,
    )
    counts = counts_of(signals)
    yield Progress(0, _STEPS, 0, 1)
    text = f"{len(signals.fresh):,} items of feedback to learn from, {len(signals.held):,} kept back to judge by"
    yield Message("warning" if signals.capped or signals.lightened else "info", text, dict(counts))
    counts["capped_ids"] = sorted(signals.capped_ids)
    # A retraining has something to do though nobody says anything: it comes without what was retracted.
    if not signals.fresh and not (request.strategy == "retrain" and champion.buffers.reservoir_ids):
        yield Finished(None, {}, result_of(None, counts))
        return
    torch.manual_seed(request.seed or 0)
    gone = {*retracted, *signals.capped_ids, *signals.replaced_ids, *(statement.id for statement in signals.fresh)}
    buffers = _without(champion.buffers, gone)
    origin = champion.network
    if request.strategy == "retrain":
        origin = yield from _retrained(
            champion,
            examples=examples,
            request=request,
            base=base,
            directory=directory,
            resume=resume,
            control=control,
        )
    ground = _ground(champion, origin, buffers, signals, request)
    candidate = yield from _continued(ground, request, control)
    buffers = _remembering(buffers, signals.fresh, request)
    holdout = buffers.holdout
    if len(holdout) < OWN_TEXTS:
        holdout = (*holdout, *champion.own_texts(seed=(request.seed or 0) * 2 + 1))
    verdict = judge_language(
        champion.network,
        candidate,
        holdout=holdout,
        held=signals.held,
        gate=request.gate or Gate(),
        whole=request.strategy == "retrain",
    )
    metrics = {**verdict.metrics, **_drift(ground, verdict)}
    yield Metrics(_STEPS, 1, metrics)
    _save(champion, verdict, replace(buffers, holdout=holdout), metrics, directory / "bundle")
    yield Finished(directory / "bundle", metrics, result_of(verdict, counts))


def _ground(
    champion: _Champion, origin: nn.Module, buffers: LanguageBuffers, signals: LanguageSignals, request: UpdateRequest
) -> LanguageGround:
    """Lay out what a strategy works on. `origin` is the champion, or what `retrain` made of its data."""
    seed = request.seed or 0
    said, reservoir = signals.fresh, buffers.reservoir
    if request.strategy == "retrain":  # it never learned what the champion remembers
        known = zip(buffers.reservoir_ids, buffers.reservoir, strict=True)
        said = (*(Statement(id=id, kind="demonstration", text=text) for id, text in known), *said)
        reservoir = ()
    network = copy.deepcopy(origin).requires_grad_(requires_grad=True)
    if champion.lora is not None:
        network = causal_lm.adapted(copy.deepcopy(origin), champion.lora, ends=champion.tokens.ends)
    replay = [*buffers.anchor, *champion.own_texts(seed=seed * 2)]
    return LanguageGround(
        network=network.eval(),
        champion=origin,
        said=said,
        replay=replay,
        reservoir=reservoir,
        ends=champion.tokens.ends,
        optimizer=request.optimizer or Adam(lr=_rate(champion, said)),
        seed=seed,
        epochs=request.epochs if request.strategy != "retrain" else None,
        beta=request.beta or BETA,
        budget=request.kl_budget or KL_BUDGET,
    )


def _rate(champion: _Champion, said: Sequence[Statement]) -> float:
    comparing = any(statement.kind != "demonstration" for statement in said)
    if champion.lora is not None:
        return _ADAPTERS_RATES[comparing]
    weights = sum(weight.numel() for weight in champion.network.parameters())
    return next(rates[comparing] for most, *rates in _RATES if weights <= most)


def _continued(ground: LanguageGround, request: UpdateRequest, control: Control) -> Generator[Report, None, nn.Module]:
    """Train the copy, and return it with its adapters, if it has some, in its weights."""
    pace = Pace()
    for share in learn(ground, PLANS[request.strategy]) if ground.said else ():
        stop_if_cancelled(control)
        if pace.due():
            yield Progress(int(share * _STEPS), _STEPS, 0, 1)
            yield Metrics(int(share * _STEPS), 0, {"train_loss": ground.losses[-1], "kl": ground.drift})
    if ground.spent:
        text = (
            f"stopped after {ground.steps} steps: the next would have spent the budget of {ground.budget:g} nats a text"
        )
        yield Message("info", text, {"steps": ground.steps, "kl": ground.drift})
    network = causal_lm.merged(ground.network).requires_grad_(requires_grad=False)
    if not all(bool(tensor.isfinite().all()) for tensor in causal_lm.state_of(network).values()):
        raise InvalidError(
            "the weights became infinite; use a smaller learning rate", code="diverged", param="optimizer.lr"
        )
    yield Progress(_STEPS, _STEPS, 1, 1)
    return network


def _retrained(
    champion: _Champion,
    *,
    examples: Examples | None,
    request: UpdateRequest,
    base: Path | None,
    directory: Path,
    resume: Path | None,
    control: Control,
) -> Generator[Report, None, nn.Module]:
    """Train on the first training's rows again, from where that began."""
    if examples is None:
        raise InvalidError(
            "retrain starts from the training data, and its dataset is gone; use replay_distill",
            code="dataset_needed",
            param="strategy",
        )
    plan = TrainingRequest.model_validate_json(json.dumps(champion.about["training"]))
    rows, held = split_examples(examples, plan, None)  # by the first training's seed: the holdout stays unseen
    changes: Json = {"seed": request.seed or 0, "validation": held and Validation(dataset="holdout")}
    changes |= {"optimizer": request.optimizer} if request.optimizer else {}
    changes |= {"epochs": request.epochs} if request.epochs else {}
    reports = train_language(
        rows,
        plan.model_copy(update=changes),
        validation=held,
        base=base,
        directory=directory / "retrained",
        resume=resume,
        control=control,
    )
    yield from (report for report in reports if not isinstance(report, Finished))
    return causal_lm.load(directory / "retrained" / "bundle").eval().requires_grad_(requires_grad=False)


def _without(buffers: LanguageBuffers, ids: Collection[str]) -> LanguageBuffers:
    """Return the buffers less what was retracted or is said again."""
    kept = [place for place, id in enumerate(buffers.reservoir_ids) if id not in ids]
    return replace(
        buffers,
        reservoir=tuple(buffers.reservoir[place] for place in kept),
        reservoir_ids=tuple(buffers.reservoir_ids[place] for place in kept),
    )


def _remembering(buffers: LanguageBuffers, said: Sequence[Statement], request: UpdateRequest) -> LanguageBuffers:
    """Put texts that are to be written into the reservoir; what is not to be written cannot be replayed."""
    good = [statement for statement in said if statement.good]
    texts = (*buffers.reservoir, *(statement.text for statement in good))
    ids = (*buffers.reservoir_ids, *(statement.id for statement in good))
    reservoir = Reservoir(RESERVOIR_ROWS, np.random.default_rng((request.seed or 0, 5)))
    for place in range(len(texts)):
        reservoir.add(place, None)
    rows = reservoir.rows().tolist()
    return replace(buffers, reservoir=tuple(texts[row] for row in rows), reservoir_ids=tuple(ids[row] for row in rows))


def _drift(ground: LanguageGround, verdict: LanguageVerdict) -> dict[str, Any]:
    """Return how far the model that was judged has moved, on twice as many texts as were looked at on the way."""
    if not ground.compares:
        return {}
    ground.network = verdict.network
    return {"kl": measured(ground, OWN_TEXTS // 2, seed=0)}


def _save(
    champion: _Champion, verdict: LanguageVerdict, buffers: LanguageBuffers, metrics: Json, directory: Path
) -> None:
    about = champion.about
    bundle = LanguageBundle(
        architecture=about["architecture"],
        input=about["input"],
        config=champion.config,
        tokens=champion.tokens,
        weights=causal_lm.state_of(verdict.network),
        training=about["training"],
        metrics=metrics,
        buffers=buffers.tensors(),
        buffers_info=buffers.info(),
    )
    save_language_bundle(bundle, directory)
