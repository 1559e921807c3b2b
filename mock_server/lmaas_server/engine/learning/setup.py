"""From a planned request and its rows to everything the loop needs: split, scaled, built. Knows no loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lmaas.types import TrainingRequest
from lmaas_server.engine.bundle import Bundle, build_network, grown, load_bundle
from lmaas_server.engine.data.examples import Array, Examples, Json
from lmaas_server.engine.data.feed import Feed, Held, feed_of
from lmaas_server.engine.data.kinds import Preprocessing, fit_preprocessing
from lmaas_server.engine.device import device
from lmaas_server.engine.learning.losses import Loss, build_loss
from lmaas_server.engine.learning.optimizers import build_optimizer
from lmaas_server.engine.learning.schedules import Rate, build_schedule
from lmaas_server.engine.learning.split import split_rows
from lmaas_server.engine.learning.values import ValueScale
from lmaas_server.engine.planning import output_size
from lmaas_server.engine.reports import Message
from lmaas_server.errors import InvalidError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setup:
    """What is trained, on what and how; `train_rows` and `held_rows` are raw, the tensors are what networks learn."""

    request: TrainingRequest
    target: Json
    preprocessing: Preprocessing
    scale: ValueScale | None
    feed: Feed
    train_rows: Examples
    held_rows: Examples
    inputs: Held
    targets: Tensor
    held_inputs: Held
    held_targets: Tensor
    network: nn.Sequential
    optimizer: torch.optim.Optimizer
    loss: Loss
    rate: Rate
    batches: Batches
    epochs: int
    messages: tuple[Message, ...] = ()

    def __repr__(self) -> str:
        return f"Setup({len(self.inputs)} + {len(self.held_inputs)} rows, {self.epochs} x {len(self.batches)} steps)"


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches of an epoch: the same for the same seed and epoch, whatever happened in between."""

    rows: int
    size: int
    seed: int

    def __len__(self) -> int:
        # A last batch of a single row would break batch norm; it joins the one before.
        return max(1, self.rows // self.size + (self.rows % self.size > (1 if self.size > 1 else 0)))

    def of_epoch(self, epoch: int) -> tuple[Tensor, ...]:
        """Return the indices of each batch of the given epoch (from 0)."""
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
        order = torch.randperm(self.rows, generator=generator)
        edges = [index * self.size for index in range(len(self))] + [self.rows]
        return tuple(order[first:last] for first, last in pairwise(edges))


@dataclass(slots=True)
class _Start:
    """Where training starts: from nothing, or from a base model."""

    classes: list[int | str] = field(default_factory=list)
    bundle: Bundle | None = None


def set_up(examples: Examples, request: TrainingRequest, validation: Examples | None, base: Path | None) -> Setup:
    """Split, fit the preprocessing on the training rows alone, build the network and what trains it.

    Seeds torch's random state: the network's first weights and every dropout follow from `request.seed`.
    """
    planned = _planned(request)
    start = _Start(examples.classes, load_bundle(base) if base else None)
    if start.bundle is not None and examples.target["kind"] == "class":
        known = list(start.bundle.target["classes"])
        start.classes = known + [label for label in examples.classes if label not in set(known)]
    target = {**examples.target, "classes": start.classes} if start.classes else dict(examples.target)
    train_rows, held_rows = _split(examples, request, validation, planned.seed)
    train_rows, held_rows = (relabelled(rows, start.classes) for rows in (train_rows, held_rows))
    preprocessing = start.bundle.preprocessing if start.bundle else fit_preprocessing(train_rows.inputs, examples.input)
    scale = _scale(train_rows, start.bundle)
    feed = feed_of(preprocessing)
    targets, held_targets = (learned(rows.targets, scale) for rows in (train_rows, held_rows))
    torch.manual_seed(planned.seed)
    network = _network(request, preprocessing, target, start.bundle)
    optimizer = build_optimizer(network.parameters(), planned.optimizer)
    batches = Batches(len(train_rows), planned.batch_size, planned.seed)
    return Setup(
        request=request,
        target=target,
        preprocessing=preprocessing,
        scale=scale,
        feed=feed,
        train_rows=train_rows,
        held_rows=held_rows,
        inputs=feed.hold(train_rows.inputs),
        targets=targets.to(device()),
        held_inputs=feed.hold(held_rows.inputs),
        held_targets=held_targets,
        network=network,
        optimizer=optimizer,
        loss=build_loss(planned.loss, targets, output_size(target)),
        rate=build_schedule(
            planned.schedule,
            lr=planned.optimizer.lr,
            steps=planned.epochs * len(batches),
            steps_per_epoch=len(batches),
        ),
        batches=batches,
        epochs=planned.epochs,
        messages=_messages(train_rows, held_rows),
    )


def relabelled(examples: Examples, classes: list[int | str]) -> Examples:
    """Return examples whose class indices count in `classes`, which holds all of theirs."""
    if not classes or examples.classes == classes or examples.targets is None:
        return examples
    index_of = {label: index for index, label in enumerate(classes)}
    unknown = [label for label in examples.classes if label not in index_of]
    if unknown:
        raise InvalidError(
            f"the model does not know the classes {unknown[:10]}; it knows {classes[:20]}",
            code="classes_unknown",
            param="dataset",
        )
    table = np.array([index_of[label] for label in examples.classes], dtype=np.int64)
    return Examples(
        inputs=examples.inputs,
        targets=_multi_hot(examples.targets, table, len(classes)) if examples.multiple else table[examples.targets],
        format=examples.format,
        input=examples.input,
        target={**examples.target, "classes": classes},
    )


def _multi_hot(targets: Array, table: Array, classes: int) -> Array:
    found = np.zeros((len(targets), classes), dtype=np.float32)
    found[:, table] = targets
    return found


def learned(targets: Array | None, scale: ValueScale | None) -> Tensor:
    """Return targets as a network learns them: class indices, or standardised values."""
    if targets is None:
        raise InvalidError("the dataset has no targets", code="targets_missing", param="dataset")
    return torch.from_numpy(np.ascontiguousarray(targets)) if scale is None else scale.standardise(targets)


@dataclass(frozen=True, slots=True)
class _Planned:
    """The fields that planning has filled, without their None."""

    epochs: int
    batch_size: int
    seed: int
    optimizer: Any
    schedule: Any
    loss: Any


def _planned(request: TrainingRequest) -> _Planned:
    found = _Planned(
        epochs=request.epochs or 0,
        batch_size=request.batch_size or 0,
        seed=request.seed or 0,
        optimizer=request.optimizer,
        schedule=request.schedule,
        loss=request.loss,
    )
    if not (found.epochs and found.batch_size and found.optimizer and found.schedule and found.loss):
        raise ValueError("train() takes a request that plan_training() has filled")
    return found


def _split(
    examples: Examples, request: TrainingRequest, validation: Examples | None, seed: int
) -> tuple[Examples, Examples]:
    if validation is not None:
        return examples, validation
    fraction = request.validation.fraction if request.validation else None
    kept, held = split_rows(examples, fraction or 0.1, seed)
    return examples.take(kept), examples.take(held)


def _scale(rows: Examples, bundle: Bundle | None) -> ValueScale | None:
    if bundle is not None and bundle.values is not None:
        return ValueScale.from_json(bundle.values)
    if rows.target["kind"] != "value" or rows.targets is None:
        return None
    return ValueScale.fit(rows.targets)


def _network(
    request: TrainingRequest, preprocessing: Preprocessing, target: Json, bundle: Bundle | None
) -> nn.Sequential:
    if request.architecture is None:
        raise ValueError("train() takes a request that plan_training() has filled")
    architecture = request.architecture.model_dump(mode="json")
    network = build_network(architecture, preprocessing.network_shape, output_size(target))
    if bundle is not None:
        network.load_state_dict(grown(bundle.weights, network.state_dict()))
    return network.train()


def class_counts(examples: Examples) -> Array:
    """Return how many rows have each class."""
    if examples.targets is None:
        return np.zeros(len(examples.classes), dtype=np.int64)
    counts: Array = (
        examples.targets.sum(axis=0).astype(np.int64)
        if examples.multiple
        else np.bincount(examples.targets, minlength=len(examples.classes))
    )
    return counts


def _messages(train_rows: Examples, held_rows: Examples) -> tuple[Message, ...]:
    rows = {"training_rows": len(train_rows), "validation_rows": len(held_rows)}
    found = [Message("info", f"{len(train_rows):,} rows to train on, {len(held_rows):,} held out", rows)]
    if train_rows.targets is not None and train_rows.classes:
        counts = class_counts(train_rows)
        rare = [label for label, count in zip(train_rows.classes, counts, strict=True) if count <= 1]
        if rare:
            text = f"{len(rare)} classes have at most one row to train on and will hardly be learned: {rare[:10]}"
            found.append(Message("warning", text, {"classes": rare[:100]}))
    return tuple(found)
