"""From feedback to a candidate and a verdict: sorts, trains a copy, asks the gate. Knows no deployment and no database.

The candidate is reported whether or not it passed; `result["promoted"]` says whether it may be served. The result's
`capped_ids` are for whoever notes what was learned from: those items wait for the next update.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lmaas.types import Gate, UpdateRequest
from lmaas_server.engine.bundle import Bundle, copied, load_bundle, save_bundle
from lmaas_server.engine.data.examples import Examples
from lmaas_server.engine.data.feed import feed_of
from lmaas_server.engine.data.kinds import stored_rows
from lmaas_server.engine.learning.buffers import SCORES
from lmaas_server.engine.learning.case import Case
from lmaas_server.engine.learning.forgetting import narrowed, still_named
from lmaas_server.engine.learning.gate import tolerated
from lmaas_server.engine.learning.result import counts_of, result_of
from lmaas_server.engine.learning.retraining import changed, check_finite, first_request, first_rows
from lmaas_server.engine.learning.scoring import outputs_of
from lmaas_server.engine.learning.setup import relabelled
from lmaas_server.engine.learning.signals import Item, Signals, read_signals
from lmaas_server.engine.learning.split import split_rows
from lmaas_server.engine.learning.strategies import STRATEGIES, remember
from lmaas_server.engine.learning.train import train
from lmaas_server.engine.learning.verdict import Verdict, judge
from lmaas_server.engine.learning.wishes import Control, Pace, no_wish, stop_if_cancelled
from lmaas_server.engine.reports import Finished, Message, Metrics, Progress, Report
from lmaas_server.errors import InvalidError

_STEPS = 1000
"""Steps of progress that a strategy's share is reported in."""
_CHANGES = 0.02
"""The share of known rows that a harmless update answers otherwise than before, half of them better: 1.5 to 2.9 % of
spoken digits (a new voice)."""


def update(
    bundle: Path,
    feedback: Iterable[Item],
    examples: Examples | None,
    request: UpdateRequest,
    *,
    directory: Path,
    resume: Path | None = None,
    control: Control = no_wish,
    retracted: Collection[str] = (),
) -> Iterator[Report]:
    """Learn from feedback and judge the result; yields reports, the last of them Finished.

    Interrupted, it begins again and reaches the same weights: it takes seconds, and all its chances follow from the
    request's seed. Only `retrain` writes checkpoints and goes on from one.

    Args:
        bundle: the champion's directory.
        feedback: dicts of `id`, `inputs` (one raw row), `kind`, `value`, `weight`, `source`, `created_at`,
            `prediction_id`, `index` and, for ratings, `shown`: the label that the prediction showed.
        examples: the rows the champion's first training had; needed by `retrain` alone.
        request: the strategy with its settings.
        directory: an own, writable place; the candidate comes to lie in `directory/bundle`.
        resume: a checkpoint of `retrain`.
        control: asked between steps.
        retracted: ids of feedback that must not be learned from again, wherever it has been kept.

    Raises:
        Paused, Cancelled: where `control` asked for it; only `retrain` pauses.
        InvalidError: `dataset_needed`, where `retrain` is given no examples.
    """
    champion, signals, gone = _before_it(load_bundle(bundle), list(feedback), examples, request, retracted)
    counts = counts_of(signals)
    yield Progress(0, _STEPS, 0, 1)
    text = f"{len(signals.fresh):,} items of feedback to learn from, {len(signals.held):,} kept back to judge by"
    yield Message("info", text, counts)
    yield from _told_of_sources(signals)
    counts["capped_ids"] = sorted(signals.capped_ids)
    if not len(signals.fresh) and not _has_to_forget(champion, request):
        yield Finished(None, {}, result_of(None, counts))
        return
    yield from _told_of_evidence(champion, request)
    case = Case.of(champion, signals, request, gone)
    if request.strategy == "retrain":
        candidate = yield from _retrain(case, examples, directory, resume, control)
    else:
        candidate = yield from _continue(case, control)
    verdict = judge(case, candidate)
    shown = {name: value for name, value in verdict.metrics.items() if isinstance(value, float)}
    yield Metrics(_STEPS, 1, shown)
    _save(case, verdict, directory / "bundle")
    yield Finished(directory / "bundle", verdict.metrics, result_of(verdict, counts))


def _before_it(
    champion: Bundle,
    feedback: list[Item],
    examples: Examples | None,
    request: UpdateRequest,
    retracted: Collection[str],
) -> tuple[Bundle, Signals, frozenset[str]]:
    """Return the model to go on from, what feedback says to it, and the ids it is to remember no longer."""
    shape, share = tuple(champion.input["shape"]), request.max_source_share
    signals = read_signals(feedback, champion.target, shape, retracted, max_source_share=share)
    gone = frozenset(retracted) | signals.capped_ids | signals.replaced_ids
    if request.strategy == "retrain" and examples is not None and champion.target["kind"] == "class":
        narrow = narrowed(champion, still_named(champion, examples, signals, gone))
        if narrow is not champion:
            champion = narrow
            signals = read_signals(feedback, champion.target, shape, retracted, max_source_share=share)
    return champion, signals, gone


def _has_to_forget(champion: Bundle, request: UpdateRequest) -> bool:
    """Whether a retraining has something to do though nobody says anything: it comes without what was retracted."""
    return request.strategy == "retrain" and bool(champion.buffers_info.get("reservoir_ids"))


def _told_of_sources(signals: Signals) -> Iterator[Report]:
    """Say which sources were held to their share."""
    for source, count in signals.capped.items():
        text = f"{count:,} items of {source!r} are left out: one source may be at most a share (max_source_share)"
        yield Message("warning", text, {"source": source, "items": count})
    for source, factor in signals.lightened.items():
        text = f"the weights of {source!r} count {factor:.3g} times: one source may be at most a share"
        yield Message("warning", text, {"source": source, "factor": factor})


def _told_of_evidence(champion: Bundle, request: UpdateRequest) -> Iterator[Report]:
    """Say so where the anchor holdout is too small to tell a harmless candidate from one that forgets."""
    gate, rows = request.gate or Gate(), len(champion.targets("holdout"))
    may_change = tolerated(rows, gate)
    if gate.enabled and champion.values is None and may_change < _CHANGES * rows:
        text = (
            f"the model was trained with {rows:,} rows held out: more than {may_change:,} changed answers to them, for "
            "better and worse alike, and the gate cannot tell that nothing was lost. Train with validation=Validation("
            "fraction=...) to hold out more, or allow a larger max_anchor_drop"
        )
        yield Message("warning", text, {"anchor_holdout": rows, "may_change": may_change})


def _continue(case: Case, control: Control) -> Generator[Report, None, Bundle]:
    """Train a copy of the champion on the feedback."""
    pace = Pace()
    for share in STRATEGIES[case.request.strategy](case.ground):
        stop_if_cancelled(control)
        if pace.due():
            yield Progress(int(share * _STEPS), _STEPS, 0, 1)
    weights = copied(case.ground.network.state_dict())
    check_finite(weights.values())
    yield Progress(_STEPS, _STEPS, 1, 1)
    return replace(case.champion, weights=weights)


def _retrain(
    case: Case, examples: Examples | None, directory: Path, resume: Path | None, control: Control
) -> Generator[Report, None, Bundle]:
    """Train from scratch on the first training's rows and the feedback, never on the holdout."""
    examples, first = first_rows(examples), first_request(case.champion.training)
    fraction = first.validation.fraction if first.validation else None
    rows = examples if fraction is None else examples.take(split_rows(examples, fraction, first.seed or 0)[0])
    reports = train(
        _joined(relabelled(rows, list(case.signals.classes)), case),
        changed(first, case.request, held=True),
        validation=_holdout(case.champion, examples),
        directory=directory / "retrained",
        resume=resume,
        control=control,
    )
    yield from (report for report in reports if not isinstance(report, Finished))
    remember(case.ground, case.ground.new)
    # The next retrain must find the split of the first training again, so its request stays on the record.
    return replace(load_bundle(directory / "retrained" / "bundle"), training=case.champion.training)


def _holdout(champion: Bundle, examples: Examples) -> Examples:
    return replace(
        examples,
        inputs=champion.rows("holdout"),
        targets=champion.targets("holdout"),
        target=champion.target,
    )


def _joined(examples: Examples, case: Case) -> Examples:
    """Append what feedback says of rows; what only says what a row is not cannot be told to a plain training."""
    if examples.targets is None:
        raise InvalidError("the dataset has no targets", code="targets_missing", param="dataset")
    told = np.flatnonzero(~case.memory.against)
    inputs, targets = case.memory.inputs[told], case.memory.targets[told]
    if examples.inputs.dtype == np.uint8 and np.array_equal(inputs, inputs.clip(0, 255).astype(np.uint8)):
        inputs = inputs.astype(np.uint8)
    return replace(
        examples,
        inputs=np.concatenate([examples.inputs, inputs]),
        targets=np.concatenate([examples.targets, targets.reshape(-1, *examples.targets.shape[1:])]),
        target=dict(case.champion.target),
    )


def _save(case: Case, verdict: Verdict, directory: Path) -> None:
    """Write the candidate with its buffers: the anchor as its training left it, the reservoir as it now stands.

    The anchor keeps the outputs that the training gave it, as in Dark Experience Replay (Buzzega et al., 2020): under
    its own, what each update loses would be what the next one holds to. Where feedback brought a class, to which the
    training gave none, they are the candidate's from then on. Ten updates on digits turned by 45 degrees cost upright
    ones 1.3, 1.3 and 1.4 points instead of 1.6, 1.9 and 2.3 (three seeds); the turned are learned alike.
    """
    model, memory = verdict.model, case.memory
    buffers = dict(model.buffers)
    if case.request.strategy != "retrain":  # whose training has chosen its own holdout, and scored it
        buffers[SCORES] = torch.from_numpy(verdict.scores)
    if case.known != len(model.target.get("classes", ())):
        feed = feed_of(model.preprocessing)
        buffers["anchor.outputs"] = outputs_of(model.network(), feed, feed.hold(model.rows("anchor")))
    kept = case.ground.reservoir.rows()
    buffers["reservoir.inputs"] = torch.from_numpy(stored_rows(memory.inputs[kept], model.input))
    buffers["reservoir.targets"] = torch.from_numpy(memory.targets[kept])
    ids = [memory.ids[index] for index in kept]
    info = {**model.buffers_info, "reservoir": len(ids), "reservoir_ids": ids}
    save_bundle(replace(model, metrics=verdict.metrics, buffers=buffers, buffers_info=info), directory)
