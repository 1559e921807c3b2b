"""From feedback on texts to a candidate and a verdict: sorts, trains a copy, asks the gate. Knows no deployment.

The candidate is reported whether or not it passed; `result["promoted"]` says whether it may be served.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lmaas.types import Adam, Gate, UpdateRequest
from lmaas_server.engine.architectures import causal_lm
from lmaas_server.engine.data.examples import Examples, Json
from lmaas_server.engine.language_planning import BETA, KL_BUDGET, plan_language_update
from lmaas_server.engine.learning.language import train_language
from lmaas_server.engine.learning.language_buffers import LanguageBuffers
from lmaas_server.engine.learning.language_champion import OWN_TEXTS, LanguageChampion
from lmaas_server.engine.learning.language_setup import split_examples
from lmaas_server.engine.learning.language_signals import LanguageSignals, Statement, read_language_signals
from lmaas_server.engine.learning.language_strategies import PLANS, LanguageGround, learn, measured
from lmaas_server.engine.learning.language_verdict import LanguageVerdict, judge_language
from lmaas_server.engine.learning.result import counts_of, result_of
from lmaas_server.engine.learning.retraining import changed, check_finite, first_request, first_rows
from lmaas_server.engine.learning.signals import Item
from lmaas_server.engine.learning.wishes import Control, Pace, no_wish, stop_if_cancelled
from lmaas_server.engine.reports import Finished, Message, Metrics, Progress, Report

_STEPS = 1000
_RATES = ((1_000_000, 1e-3, 3e-4), (20_000_000, 3e-4, 1e-4), (200_000_000, 1e-4, 2e-5), (2**63, 3e-5, 5e-6))
"""Learning rates for models of up to so many weights: of examples, and of comparisons, which say little of much."""
_ADAPTERS_RATES = (3e-3, 1e-3)


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
    champion = LanguageChampion.load(bundle)
    signals = _said(champion, feedback, request, retracted)
    counts = counts_of(signals)
    yield Progress(0, _STEPS, 0, 1)
    yield _told(signals, dict(counts))
    counts["capped_ids"] = sorted(signals.capped_ids)
    if not signals.fresh and not _has_to_forget(champion, request):
        yield Finished(None, {}, result_of(None, counts))
        return
    torch.manual_seed(request.seed or 0)
    buffers = champion.buffers.without(_gone(signals, retracted))
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
    buffers = _remembering(champion, buffers, signals.fresh, request)
    verdict = _judged(champion, candidate, buffers, signals, request)
    metrics = {**verdict.metrics, **_drift(ground, verdict)}
    yield Metrics(_STEPS, 1, metrics)
    champion.save(verdict.network, buffers, metrics, directory / "bundle")
    yield Finished(directory / "bundle", metrics, result_of(verdict, counts))


def _said(
    champion: LanguageChampion, feedback: Iterable[Item], request: UpdateRequest, retracted: Collection[str]
) -> LanguageSignals:
    """Return what the feedback says to this model."""
    return read_language_signals(
        feedback,
        champion.tokens,
        form=str(champion.about["input"].get("form", "")),
        context=champion.context,
        retracted=retracted,
        max_source_share=request.max_source_share,
    )


def _told(signals: LanguageSignals, counts: Json) -> Message:
    text = f"{len(signals.fresh):,} items of feedback to learn from, {len(signals.held):,} kept back to judge by"
    return Message("warning" if signals.capped or signals.lightened else "info", text, counts)


def _has_to_forget(champion: LanguageChampion, request: UpdateRequest) -> bool:
    """Whether a retraining has something to do though nobody says anything: it comes without what was retracted."""
    return request.strategy == "retrain" and bool(champion.buffers.reservoir_ids)


def _gone(signals: LanguageSignals, retracted: Collection[str]) -> set[str]:
    """Return the items of which nothing may stay in the reservoir: retracted, left out, or said again."""
    return {*retracted, *signals.capped_ids, *signals.replaced_ids, *(statement.id for statement in signals.fresh)}


def _ground(
    champion: LanguageChampion,
    origin: nn.Module,
    buffers: LanguageBuffers,
    signals: LanguageSignals,
    request: UpdateRequest,
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


def _rate(champion: LanguageChampion, said: Sequence[Statement]) -> float:
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
    check_finite(causal_lm.state_of(network).values())
    yield Progress(_STEPS, _STEPS, 1, 1)
    return network


def _retrained(
    champion: LanguageChampion,
    *,
    examples: Examples | None,
    request: UpdateRequest,
    base: Path | None,
    directory: Path,
    resume: Path | None,
    control: Control,
) -> Generator[Report, None, nn.Module]:
    """Train on the first training's rows again, from where that began."""
    first = first_request(champion.about["training"])
    rows, held = split_examples(first_rows(examples), first, None)  # by its seed: the holdout stays unseen
    reports = train_language(
        rows,
        changed(first, request, held=bool(held)),
        validation=held,
        base=base,
        directory=directory / "retrained",
        resume=resume,
        control=control,
    )
    yield from (report for report in reports if not isinstance(report, Finished))
    return causal_lm.load(directory / "retrained" / "bundle").eval().requires_grad_(requires_grad=False)


def _remembering(
    champion: LanguageChampion, buffers: LanguageBuffers, said: Sequence[Statement], request: UpdateRequest
) -> LanguageBuffers:
    """Remember the texts that are to be written, and what to judge by; what is not to be written is not replayed."""
    seed = request.seed or 0
    good = [statement for statement in said if statement.good]
    texts, ids = [statement.text for statement in good], [statement.id for statement in good]
    holdout = champion.holdout(buffers.holdout, seed=seed * 2 + 1)
    return replace(buffers.remembering(texts, ids, seed=seed), holdout=holdout)


def _judged(
    champion: LanguageChampion,
    candidate: nn.Module,
    buffers: LanguageBuffers,
    signals: LanguageSignals,
    request: UpdateRequest,
) -> LanguageVerdict:
    return judge_language(
        champion.network,
        candidate,
        holdout=buffers.holdout,
        held=signals.held,
        gate=request.gate or Gate(),
        whole=request.strategy == "retrain",
    )


def _drift(ground: LanguageGround, verdict: LanguageVerdict) -> dict[str, Any]:
    """Return how far the model that was judged has moved, on twice as many texts as were looked at on the way."""
    if not ground.compares:
        return {}
    ground.network = verdict.network
    return {"kl": measured(ground, OWN_TEXTS // 2, seed=0)}
