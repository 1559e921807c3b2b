"""The training loop of a language model, top to bottom: a generator that yields what it reaches.

Knows no job, no database, no clock but that of its reports; the weights depend on the rows, the request and its seed
alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a job reads what is on this machine and asks nobody

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lmaas.types import TrainingRequest
from lmaas_server.engine.architectures import causal_lm
from lmaas_server.engine.base_models import context_of
from lmaas_server.engine.bundle import copied, weights_sha256
from lmaas_server.engine.data.examples import Examples, Json
from lmaas_server.engine.data.tokens import Tokens
from lmaas_server.engine.device import device
from lmaas_server.engine.language_bundle import LanguageBundle, describe_language_bundle, save_language_bundle
from lmaas_server.engine.learning.checkpoints import State, read_checkpoint, write_checkpoint
from lmaas_server.engine.learning.language_buffers import LanguageBuffers
from lmaas_server.engine.learning.language_rows import IGNORED, Batch, Cut, Rows
from lmaas_server.engine.learning.language_setup import LanguageSetup, rows_of, set_up_language
from lmaas_server.engine.learning.optimizers import set_learning_rate
from lmaas_server.engine.learning.wishes import Control, Pace, no_wish
from lmaas_server.engine.reports import Cancelled, Checkpointed, Finished, Message, Metrics, Paused, Progress, Report
from lmaas_server.errors import InvalidError

MAX_NORM = 1.0
"""Gradients are clipped to this norm, as GPT-3 and Llama were trained."""
_MEASURED_TOKENS = 8192
_SMALL_WORK = 1_000_000_000
"""Weights times tokens of a batch; below it a second thread waits more than it computes."""
_MORE_IS_BETTER = {"loss": False, "perplexity": False, "token_accuracy": True}


def train_language(
    examples: Examples,
    request: TrainingRequest,
    *,
    validation: Examples | None = None,
    base: Path | None = None,
    directory: Path,
    resume: Path | None = None,
    control: Control = no_wish,
) -> Iterator[Report]:
    """Train a language model and leave its bundle in `directory/bundle`; yields reports, the last of them Finished.

    Args:
        examples: messages, prompts with completions, or text.
        request: as `plan_language` returned it.
        validation: the rows of `validation.dataset`, where the request names one.
        base: the checkpoint or bundle to start from, unless the request asks for a fresh Llama.
        directory: an own, writable place; checkpoints come to lie in `directory/checkpoints`.
        resume: a checkpoint's directory, to go on from; the weights come out as if nothing had been interrupted.
        control: asked between steps for "pause" or "cancel".

    Raises:
        Paused: after a checkpoint was written and reported.
        Cancelled: at once.
        InvalidError: no row fits the context; or `diverged`, where the loss is no number any more.
    """
    setup = set_up_language(examples, request, validation, base)
    if setup.work_of_batch < _SMALL_WORK:
        torch.set_num_threads(1)
    state = read_checkpoint(resume, setup.learned, setup.optimizer) if resume else State()
    yield _progress(setup, state)
    yield from setup.messages
    yield from _fit(setup, state, directory / "checkpoints", control)
    if setup.request.early_stopping is not None:
        setup.learned.load_state_dict(state.best_weights)
    yield _finish(setup, state, directory / "bundle")


def evaluate_language(bundle: Path, examples: Examples, batch_size: int | None = None) -> Json:
    """Return `loss`, `perplexity`, `token_accuracy` and `tokens` of the language model in `bundle` on examples.

    Raises:
        InvalidError: no row fits the model's context, or the bundle is damaged.
    """
    describe_language_bundle(bundle)
    network, tokens = causal_lm.load(bundle), Tokens.load(bundle)
    context = context_of(network.config.to_dict())  # type: ignore[union-attr, operator]  # a PreTrainedModel
    cut = Cut(batch_size=batch_size or 64, accumulation=1, max_tokens=_MEASURED_TOKENS, seed=0)
    return {"rows": len(examples), **_figures(network, rows_of(examples, tokens, context, cut))}


def _fit(setup: LanguageSetup, state: State, directory: Path, control: Control) -> Iterator[Report]:
    optimizer, steps = setup.optimizer, setup.rows.steps
    every = setup.request.checkpoints.every_epochs if setup.request.checkpoints else 1
    weights = [weight for weight in setup.network.parameters() if weight.requires_grad]
    pace = Pace()
    while state.epoch < setup.epochs and not _stops(setup, state):
        done = state.step - state.epoch * steps
        for number, batches in enumerate(setup.rows.of_epoch(state.epoch)):
            if number < done:
                continue
            if wish := control():
                yield from _obey(wish, setup, state, directory)
            set_learning_rate(optimizer, setup.rate(state.step))
            optimizer.zero_grad(set_to_none=True)
            state.loss_sum += _backward(setup, batches)
            torch.nn.utils.clip_grad_norm_(weights, MAX_NORM)
            optimizer.step()
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


def _backward(setup: LanguageSetup, batches: Sequence[Batch]) -> Tensor:
    """Add the gradients of a step; its loss is the mean over all its tokens, however they lie in batches."""
    count = sum(batch.learned for batch in batches)
    total = torch.zeros((), dtype=torch.float64, device=device())
    for batch in batches:
        logits = _logits(setup.network, batch)  # (rows * tokens, vocabulary)
        targets = batch.targets.reshape(-1)
        smoothing = setup.label_smoothing
        loss = cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing) / count
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        total += loss.detach()
    return total


def _logits(network: nn.Module, batch: Batch) -> Tensor:
    """Return (rows * tokens, vocabulary). Rows are padded at their ends, which nothing before them looks at."""
    logits: Tensor = network(input_ids=batch.inputs, use_cache=False).logits
    return logits.reshape(-1, logits.shape[-1])


@torch.inference_mode()
def _figures(network: nn.Module, rows: Rows) -> dict[str, float]:
    training = network.training
    network.eval()
    loss, right, count = 0.0, 0, 0
    for batch in rows.in_order():
        logits, targets = _logits(network, batch), batch.targets.reshape(-1)
        loss += float(cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum"))
        right += int((logits.argmax(dim=-1) == targets).sum())
        count += batch.learned
    network.train(training)
    mean = loss / count
    perplexity = math.exp(min(mean, 700.0)) if math.isfinite(mean) else mean
    return {"loss": mean, "perplexity": perplexity, "token_accuracy": right / count, "tokens": count}


def _end_epoch(setup: LanguageSetup, state: State) -> Metrics:
    train_loss = float(state.loss_sum) / setup.rows.steps
    state.epoch += 1
    state.loss_sum.zero_()
    figures = _figures(setup.network, setup.held)
    if not (math.isfinite(train_loss) and math.isfinite(figures["loss"])):
        raise InvalidError(
            f"the loss became {train_loss} in epoch {state.epoch}; use a smaller learning rate",
            code="diverged",
            param="optimizer.lr",
        )
    state.metrics = {"train_loss": train_loss, **figures, "learning_rate": setup.rate(state.step - 1)}
    _keep_best(setup, state)
    return Metrics(state.step, state.epoch, dict(state.metrics))


def _keep_best(setup: LanguageSetup, state: State) -> None:
    stopping = setup.request.early_stopping
    if stopping is None:
        return
    value = state.metrics[stopping.metric] * (1 if _MORE_IS_BETTER[stopping.metric] else -1)
    if state.best is None or value - state.best > stopping.min_delta:
        state.best, state.best_epoch, state.waited = value, state.epoch, 0
        state.best_weights = copied(setup.learned.state_dict())
    else:
        state.waited += 1


def _stops(setup: LanguageSetup, state: State) -> bool:
    stopping = setup.request.early_stopping
    return stopping is not None and state.waited >= stopping.patience


def _obey(wish: str, setup: LanguageSetup, state: State, directory: Path) -> Iterator[Report]:
    if wish == "cancel":
        raise Cancelled
    yield _checkpoint(setup, state, directory)
    raise Paused


def _checkpoint(setup: LanguageSetup, state: State, directory: Path) -> Checkpointed:
    written, size = write_checkpoint(directory, state, setup.learned, setup.optimizer)
    return Checkpointed(state.step, state.epoch, dict(state.metrics), written, size)


def _progress(setup: LanguageSetup, state: State) -> Progress:
    return Progress(state.step, setup.epochs * setup.rows.steps, state.epoch, setup.epochs)


def _finish(setup: LanguageSetup, state: State, directory: Path) -> Finished:
    network = causal_lm.merged(setup.network)
    metrics: dict[str, Any] = {"train_loss": state.metrics["train_loss"], **_figures(network, setup.held)}
    request = setup.request
    buffers = LanguageBuffers.of_training(setup)
    bundle = LanguageBundle(
        architecture=setup.architecture.model_dump(mode="json"),
        input=setup.input,
        config=setup.config,
        tokens=setup.tokens,
        weights=causal_lm.state_of(network),
        training=request.model_dump(mode="json"),
        metrics=metrics,
        buffers=buffers.tensors(),
        buffers_info=buffers.info(),
    )
    save_language_bundle(bundle, directory)
    result = {
        "epochs": state.epoch,
        "best_epoch": state.best_epoch or state.epoch,
        "parameters": bundle.parameters,
        "weights_sha256": weights_sha256(directory),
        "training_rows": len(setup.rows),
        "training_tokens": setup.rows.tokens,
        "validation_rows": len(setup.held) if setup.held_out else 0,
    }
    return Finished(directory, metrics, result)
