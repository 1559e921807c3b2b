"""The training loop, top to bottom: a generator that yields what it reaches. Knows no job and no database.

The weights depend on the rows, the request and its seed alone; the clock only spaces the reports.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from lmaas.types import TrainingRequest
from lmaas_server.engine.bundle import Bundle, copied, save_bundle, weights_sha256
from lmaas_server.engine.data.examples import Examples, Json
from lmaas_server.engine.learning.buffers import fill_buffers
from lmaas_server.engine.learning.checkpoints import State, read_checkpoint, write_checkpoint
from lmaas_server.engine.learning.evaluate import figures_of
from lmaas_server.engine.learning.optimizers import set_learning_rate
from lmaas_server.engine.learning.scoring import epoch_figures, outputs_of
from lmaas_server.engine.learning.setup import Setup, set_up
from lmaas_server.engine.learning.wishes import Control, Pace, no_wish
from lmaas_server.engine.registry import TASKS
from lmaas_server.engine.reports import Cancelled, Checkpointed, Finished, Message, Metrics, Paused, Progress, Report
from lmaas_server.errors import InvalidError


def train(
    examples: Examples,
    request: TrainingRequest,
    *,
    validation: Examples | None = None,
    base: Path | None = None,
    directory: Path,
    resume: Path | None = None,
    control: Control = no_wish,
) -> Iterator[Report]:
    """Train a network and leave its bundle in `directory/bundle`; yields reports, the last of them Finished.

    Args:
        examples: the rows of the request's dataset.
        request: as `plan_training` returned it.
        validation: the rows of `validation.dataset`, where the request names one.
        base: the bundle of `base_model`.
        directory: an own, writable place; checkpoints come to lie in `directory/checkpoints`.
        resume: a checkpoint's directory, to go on from; the weights come out as if nothing had been interrupted.
        control: asked between steps for "pause" or "cancel".

    Raises:
        Paused: after a checkpoint was written and reported.
        Cancelled: at once.
        InvalidError: `diverged`, where the loss is no number any more.
    """
    setup = set_up(examples, request, validation, base)
    state = read_checkpoint(resume, setup.network, setup.optimizer) if resume else State()
    yield _progress(setup, state)
    yield from setup.messages
    yield from _fit(setup, state, directory / "checkpoints", control)
    if setup.request.early_stopping is not None:
        setup.network.load_state_dict(state.best_weights)
        state.outputs = None
    yield _finish(setup, state, directory / "bundle")


def _fit(setup: Setup, state: State, directory: Path, control: Control) -> Iterator[Report]:
    network, optimizer, feed, loss_of = setup.network, setup.optimizer, setup.feed, setup.loss
    inputs, targets, steps = setup.inputs, setup.targets, len(setup.batches)
    every = setup.request.checkpoints.every_epochs if setup.request.checkpoints else 1
    pace = Pace()
    while state.epoch < setup.epochs and not _stops(setup, state):
        for rows in setup.batches.of_epoch(state.epoch)[state.step - state.epoch * steps :]:
            if wish := control():
                yield from _obey(wish, setup, state, directory)
            set_learning_rate(optimizer, setup.rate(state.step))
            batch = feed.batch(inputs[rows])  # (batch, *shape)
            loss = loss_of(network(batch), targets[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            state.loss_sum += loss.detach()
            state.step += 1
            if pace.due():
                yield _progress(setup, state)
        yield _end_epoch(setup, state)
        if state.epoch % every == 0 and state.epoch < setup.epochs:
            yield _checkpoint(setup, state, directory)
    if state.epoch < setup.epochs:
        text = f"stopped after epoch {state.epoch}: no improvement since epoch {state.best_epoch}"
        yield Message("info", text, {"epoch": state.epoch, "best_epoch": state.best_epoch})
    yield _progress(setup, state)


def _end_epoch(setup: Setup, state: State) -> Metrics:
    train_loss = float(state.loss_sum) / len(setup.batches)
    state.epoch += 1
    state.loss_sum.zero_()
    outputs = outputs_of(setup.network, setup.feed, setup.held_inputs)  # (rows, outputs)
    state.outputs = outputs
    figures = epoch_figures(outputs, setup.held_targets, setup.loss, setup.scale)
    if not (math.isfinite(train_loss) and math.isfinite(figures["loss"])):
        raise InvalidError(
            f"the loss became {train_loss} in epoch {state.epoch}; use a smaller learning rate",
            code="diverged",
            param="optimizer.lr",
        )
    state.metrics = {"train_loss": train_loss, **figures, "learning_rate": setup.rate(state.step - 1)}
    _keep_best(setup, state)
    return Metrics(state.step, state.epoch, dict(state.metrics))


def _keep_best(setup: Setup, state: State) -> None:
    stopping = setup.request.early_stopping
    if stopping is None:
        return
    value = state.metrics[stopping.metric]
    more_is_better = TASKS[setup.request.task or "classification"].epoch_metrics[stopping.metric]
    gain = math.inf if state.best is None else (value - state.best if more_is_better else state.best - value)
    if gain > stopping.min_delta:
        state.best, state.best_epoch, state.waited = value, state.epoch, 0
        state.best_weights = copied(setup.network.state_dict())
    else:
        state.waited += 1


def _stops(setup: Setup, state: State) -> bool:
    stopping = setup.request.early_stopping
    return stopping is not None and state.waited >= stopping.patience


def _obey(wish: str, setup: Setup, state: State, directory: Path) -> Iterator[Report]:
    if wish == "cancel":
        raise Cancelled
    yield _checkpoint(setup, state, directory)
    raise Paused


def _checkpoint(setup: Setup, state: State, directory: Path) -> Checkpointed:
    written, size = write_checkpoint(directory, state, setup.network, setup.optimizer)
    return Checkpointed(state.step, state.epoch, dict(state.metrics), written, size)


def _progress(setup: Setup, state: State) -> Progress:
    return Progress(state.step, setup.epochs * len(setup.batches), state.epoch, setup.epochs)


def _finish(setup: Setup, state: State, directory: Path) -> Finished:
    outputs = state.outputs  # (rows, outputs)
    if outputs is None:
        outputs = outputs_of(setup.network, setup.feed, setup.held_inputs)
    figures = epoch_figures(outputs, setup.held_targets, setup.loss, setup.scale)
    measured = figures_of(outputs, setup.held_targets, setup.target, setup.scale)
    metrics: Json = {"train_loss": state.metrics["train_loss"], **figures, **measured}
    buffers, info = fill_buffers(setup, outputs)
    request = setup.request
    bundle = Bundle(
        task=request.task or "classification",
        architecture=request.architecture.model_dump(mode="json") if request.architecture else {},
        input=setup.train_rows.input,
        target=setup.target,
        preprocessing=setup.preprocessing,
        weights=copied(setup.network.state_dict()),
        values=setup.scale.to_json() if setup.scale else None,
        training=request.model_dump(mode="json"),
        metrics=metrics,
        buffers=buffers,
        buffers_info=info,
    )
    save_bundle(bundle, directory)
    result = {
        "epochs": state.epoch,
        "best_epoch": state.best_epoch or state.epoch,
        "parameters": bundle.parameters,
        "weights_sha256": weights_sha256(directory),
        "training_rows": len(setup.inputs),
        "validation_rows": len(setup.held_inputs),
    }
    return Finished(directory, metrics, result)
