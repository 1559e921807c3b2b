"""From feedback to a candidate and a verdict: sorts, trains a copy, asks the gate. Knows no deployment and no database.

The candidate is reported whether or not it passed; `result["promoted"]` says whether it may be served.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lmaas.types import Gate, TrainingRequest, UpdateRequest, Validation
from lmaas_server.engine.bundle import Bundle, Tensors, build_network, copied, grown, load_bundle, save_bundle
from lmaas_server.engine.data.examples import Array, Examples, Json
from lmaas_server.engine.data.feed import Feed
from lmaas_server.engine.learning.buffers import RESERVOIR_ROWS
from lmaas_server.engine.learning.evaluate import figures_of
from lmaas_server.engine.learning.gate import ALPHAS, Anchor, Fresh, check_anchor, check_fresh, reason_of
from lmaas_server.engine.learning.reservoir import Reservoir
from lmaas_server.engine.learning.scoring import outputs_of
from lmaas_server.engine.learning.setup import relabelled
from lmaas_server.engine.learning.signals import Item, Rows, Signals, read_signals
from lmaas_server.engine.learning.split import split_rows
from lmaas_server.engine.learning.strategies import STRATEGIES, Ground, Pool, remember
from lmaas_server.engine.learning.train import train
from lmaas_server.engine.learning.values import ValueScale
from lmaas_server.engine.learning.wishes import Control, Pace, no_wish, stop_if_cancelled
from lmaas_server.engine.planning import output_size
from lmaas_server.engine.reports import Finished, Message, Metrics, Progress, Report
from lmaas_server.errors import InvalidError

_STEPS = 1000
"""Steps of progress that a strategy's share is reported in."""


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
    champion = load_bundle(bundle)
    signals = read_signals(feedback, champion.target, tuple(champion.input["shape"]), retracted)
    counts = {
        "feedback_used": len(signals.fresh),
        "feedback_held_out": len(signals.held),
        "contradictions": signals.contradictions,
        "unusable": signals.unusable,
    }
    yield Progress(0, _STEPS, 0, 1)
    yield Message("info", f"{len(signals.fresh):,} items of feedback to learn from, {len(signals.held):,} kept back", counts)
    if not len(signals.fresh):
        yield Finished(None, {}, _result("insufficient_evidence", None, None, None, counts))
        return
    case = _Case.of(champion, signals, request, retracted)
    if request.strategy == "retrain":
        candidate = yield from _retrain(case, examples, directory, resume, control)
    else:
        candidate = yield from _continue(case, control)
    yield from _judge(case, candidate, directory / "bundle", counts)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Case:
    """An update under way."""

    champion: Bundle
    """Its output layer grown to the classes that feedback brings."""
    old_outputs: int
    signals: Signals
    request: UpdateRequest
    feed: Feed
    scale: ValueScale | None
    ground: Ground
    memory_ids: tuple[str, ...]
    memory_inputs: Array
    memory_targets: Array

    def __repr__(self) -> str:
        return f"_Case({self.request.strategy}, {self.champion!r})"

    @classmethod
    def of(cls, champion: Bundle, signals: Signals, request: UpdateRequest, retracted: Collection[str]) -> _Case:
        seed = request.seed or 0
        torch.manual_seed(seed)
        old_outputs = output_size(champion.target)
        champion = _with_classes(champion, list(signals.classes))
        feed = Feed(champion.preprocessing)
        scale = ValueScale.from_json(champion.values) if champion.values else None
        ids, inputs, targets = _remembered(champion, signals.fresh, retracted)
        memory = Pool(
            inputs=feed.hold(np.concatenate([inputs, signals.fresh.inputs])),
            targets=_learned(np.concatenate([targets, signals.fresh.targets]), scale),
        )
        generator = np.random.default_rng(seed)
        ground = Ground(
            network=champion.network(),
            feed=feed,
            classes=scale is None,
            anchor=Pool(
                inputs=feed.hold(champion.buffers["anchor.inputs"].numpy()),
                targets=_learned(champion.buffers["anchor.targets"].numpy(), scale),
            ),
            anchor_outputs=champion.buffers["anchor.outputs"],
            memory=memory,
            against=torch.from_numpy(np.concatenate([np.zeros(len(ids), dtype=bool), signals.fresh.against])),
            weights=torch.from_numpy(np.concatenate([np.ones(len(ids), dtype=np.float32), signals.fresh.weights])),
            remembered=len(ids),
            reservoir=Reservoir(RESERVOIR_ROWS, generator),
            optimizer=request.optimizer,
            epochs=request.epochs,
            generator=generator,
        )
        remember(ground, np.arange(len(ids)))
        return cls(
            champion=champion,
            old_outputs=old_outputs,
            signals=signals,
            request=request,
            feed=feed,
            scale=scale,
            ground=ground,
            memory_ids=ids + signals.fresh.ids,
            memory_inputs=np.concatenate([inputs, signals.fresh.inputs]),
            memory_targets=np.concatenate([targets, signals.fresh.targets]),
        )


def _with_classes(champion: Bundle, classes: list[int | str]) -> Bundle:
    if list(champion.target.get("classes", ())) == classes:
        return champion
    target = {**champion.target, "classes": classes}
    wider = build_network(champion.architecture, champion.preprocessing.network_shape, len(classes))
    return replace(champion, target=target, weights=grown(champion.weights, wider.state_dict()))


def _remembered(
    champion: Bundle, fresh: Rows, retracted: Collection[str]
) -> tuple[tuple[str, ...], Array, Array]:
    """Return the reservoir's rows less those retracted or sent again."""
    ids = champion.buffers_info.get("reservoir_ids", [])
    gone = set(retracted) | set(fresh.ids)
    kept = np.array([index for index, name in enumerate(ids) if name not in gone], dtype=np.int64)
    if not len(kept):
        return (), fresh.inputs[:0], fresh.targets[:0]
    inputs = champion.buffers["reservoir.inputs"].numpy()[kept]
    targets = champion.buffers["reservoir.targets"].numpy()[kept]
    return tuple(ids[index] for index in kept), inputs, targets


def _learned(targets: Array, scale: ValueScale | None) -> Tensor:
    return torch.from_numpy(targets) if scale is None else scale.standardise(targets)


def _continue(case: _Case, control: Control) -> Iterator[Report | Any]:
    pace = Pace()
    for share in STRATEGIES[case.request.strategy](case.ground):
        stop_if_cancelled(control)
        if pace.due():
            yield Progress(int(share * _STEPS), _STEPS, 0, 1)
    weights = copied(case.ground.network.state_dict())
    if not all(tensor.isfinite().all() for tensor in weights.values()):
        raise InvalidError(
            "the weights became infinite; use a smaller learning rate", code="diverged", param="optimizer.lr"
        )
    yield Progress(_STEPS, _STEPS, 1, 1)
    return replace(case.champion, weights=weights)


def _retrain(
    case: _Case, examples: Examples | None, directory: Path, resume: Path | None, control: Control
) -> Iterator[Report | Any]:
    if examples is None:
        raise InvalidError(
            "retrain starts from the training data, and its dataset is gone; use replay_distill",
            code="dataset_needed",
            param="strategy",
        )
    request = TrainingRequest.model_validate_json(_json(case.champion.training))
    fraction = request.validation.fraction if request.validation else None
    rows = examples if fraction is None else examples.take(split_rows(examples, fraction, request.seed or 0)[0])
    changes: Json = {"seed": case.request.seed or 0, "validation": Validation(dataset="holdout")}
    changes |= {"optimizer": case.request.optimizer} if case.request.optimizer else {}
    changes |= {"epochs": case.request.epochs} if case.request.epochs else {}
    together = _joined(relabelled(rows, list(case.signals.classes)), case)
    found = train(
        together,
        request.model_copy(update=changes),
        validation=_holdout(case.champion, examples),
        directory=directory / "retrained",
        resume=resume,
        control=control,
    )
    for report in found:
        if not isinstance(report, Finished):
            yield report
    remember(case.ground, case.ground.new)
    trained = load_bundle(directory / "retrained" / "bundle")
    # The next retrain must find the split of the first training again, so its request stays on the record.
    return replace(trained, training=case.champion.training)


def _judge(case: _Case, candidate: Bundle, directory: Path, counts: Json) -> Iterator[Report]:
    gate = case.request.gate or Gate()
    holdout = _statements(case.champion)
    before = _scores(case, case.champion, holdout)
    alphas = ALPHAS if case.request.strategy != "retrain" else ALPHAS[:1]  # two separate minds have no middle
    anchor, chosen, alpha = _first_that_holds(case, candidate, holdout, before, gate, alphas)
    fresh = None
    if anchor.passed or not gate.enabled:
        fresh = check_fresh(
            _scores(case, case.champion, case.signals.held), _scores(case, chosen, case.signals.held), gate
        )
    reason = reason_of(anchor, fresh) if gate.enabled else "gate_disabled"
    metrics = _measured(case, chosen, anchor, fresh)
    yield Metrics(_STEPS, 1, {name: value for name, value in metrics.items() if isinstance(value, float)})
    _save(case, chosen, metrics, directory)
    yield Finished(directory, metrics, _result(reason, anchor, fresh, alpha, counts))


def _first_that_holds(
    case: _Case, candidate: Bundle, holdout: Rows, before: Array, gate: Gate, alphas: tuple[float, ...]
) -> tuple[Anchor, Bundle, float]:
    first: tuple[Anchor, Bundle, float] | None = None
    for alpha in alphas:
        between = candidate if alpha == 1 else replace(candidate, weights=_between(case.champion, candidate, alpha))
        outcome = check_anchor(before, _scores(case, between, holdout), gate)
        if outcome.passed or not gate.enabled:
            return outcome, between, alpha
        first = first or (outcome, between, alpha)
    if first is None:
        raise ValueError("the gate tries at least one candidate")
    return first


def _between(champion: Bundle, candidate: Bundle, alpha: float) -> Tensors:
    return {
        name: champion.weights[name].lerp(tensor, alpha) if tensor.is_floating_point() else tensor
        for name, tensor in candidate.weights.items()
    }


def _scores(case: _Case, model: Bundle, rows: Rows) -> Array:
    """Return how good each row's answer is: 1 or 0, or minus the error in units of the champion's mean error."""
    if not len(rows):
        return np.empty(0)
    feed = Feed(model.preprocessing)  # a retrained candidate has its own
    outputs = outputs_of(_network(model), feed, feed.hold(rows.inputs))
    if model.values is None:
        right = outputs.argmax(dim=1).numpy() == rows.targets
        return np.where(rows.against, ~right, right).astype(np.float64)
    values = ValueScale.from_json(model.values).restore(outputs).numpy()
    spread = np.asarray(case.champion.values["std"] if case.champion.values else 1.0)
    return -np.abs((values - rows.targets) / spread).mean(axis=1).astype(np.float64)


def _network(model: Bundle) -> nn.Module:
    return model.network()


def _statements(champion: Bundle) -> Rows:
    targets = champion.buffers["holdout.targets"].numpy()
    count = len(targets)
    return Rows(
        ids=("",) * count,
        inputs=champion.buffers["holdout.inputs"].numpy(),
        targets=targets if champion.values is None else targets.reshape(count, -1),
        against=np.zeros(count, dtype=bool),
        weights=np.ones(count, dtype=np.float32),
    )


def _measured(case: _Case, model: Bundle, anchor: Anchor, fresh: Fresh | None) -> Json:
    rows = _statements(case.champion)
    feed = Feed(model.preprocessing)
    scale = ValueScale.from_json(model.values) if model.values else None
    outputs = outputs_of(_network(model), feed, feed.hold(rows.inputs))
    figures = figures_of(outputs, _learned(rows.targets, scale), model.target, scale)
    figures["anchor_change"] = anchor.candidate - anchor.champion
    if fresh is not None and fresh.rows:
        figures |= {"fresh_champion": fresh.champion, "fresh_candidate": fresh.candidate}
    return figures


def _save(case: _Case, chosen: Bundle, metrics: Json, directory: Path) -> None:
    """Write the candidate with its buffers: the anchor under its own outputs, the reservoir as it now stands."""
    feed = Feed(chosen.preprocessing)
    buffers = dict(chosen.buffers)
    held = feed.hold(buffers["anchor.inputs"].numpy())
    buffers["anchor.outputs"] = outputs_of(_network(chosen), feed, held)
    kept = case.ground.reservoir.rows()
    buffers["reservoir.inputs"] = torch.from_numpy(case.memory_inputs[kept])
    buffers["reservoir.targets"] = torch.from_numpy(case.memory_targets[kept])
    ids = [case.memory_ids[index] for index in kept]
    info = {**chosen.buffers_info, "reservoir": len(ids), "reservoir_ids": ids}
    save_bundle(replace(chosen, metrics=metrics, buffers=buffers, buffers_info=info), directory)


def _holdout(champion: Bundle, examples: Examples) -> Examples:
    return replace(
        examples,
        inputs=champion.buffers["holdout.inputs"].numpy(),
        targets=champion.buffers["holdout.targets"].numpy(),
        target=champion.target,
    )


def _joined(examples: Examples, case: _Case) -> Examples:
    """Append what feedback says of rows; what only says what a row is not cannot be told to a plain training."""
    told = np.flatnonzero(~case.ground.against.numpy())
    inputs, targets = case.memory_inputs[told], case.memory_targets[told]
    if examples.inputs.dtype == np.uint8 and np.array_equal(inputs, inputs.astype(np.uint8)):
        inputs = inputs.astype(np.uint8)
    known = examples.targets if examples.targets is not None else targets[:0]
    return replace(
        examples,
        inputs=np.concatenate([examples.inputs, inputs]),
        targets=np.concatenate([known, targets.reshape(-1, *known.shape[1:])]),
        target={**case.champion.target},
    )


def _result(reason: str, anchor: Anchor | None, fresh: Fresh | None, alpha: float | None, counts: Json) -> Json:
    return {
        "promoted": reason in {"promoted", "gate_disabled"},
        "reason": reason,
        "gate": {
            "anchor": anchor.to_json() if anchor else None,
            "fresh": fresh.to_json() if fresh else None,
            "alpha": alpha,
        },
        **counts,
    }


def _json(stored: Json) -> bytes:
    import json

    return json.dumps(stored).encode()
