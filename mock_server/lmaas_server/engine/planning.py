"""From a training request to a plan: every default filled in, what cannot work refused. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

from lmaas.types import (
    CNN,
    MLP,
    Adam,
    Architecture,
    AudioCNN,
    Checkpoints,
    ConstantSchedule,
    CosineSchedule,
    TabularMLP,
    TextEncoder,
    TrainingRequest,
    Validation,
)
from lmaas_server.engine.data.examples import Json
from lmaas_server.engine.data.kinds import check_same_inputs, network_shape
from lmaas_server.engine.data.preprocessing import MOST_SCALED
from lmaas_server.engine.registry import ARCHITECTURES, OPTIMIZER_STATES, TASKS, Recipe
from lmaas_server.errors import InvalidError

_HELD_OUT = 0.1
_LEAST_HELD_OUT = 2_000
"""The rows held out are also those by which the gate judges what an update forgets, and of few it can tell nothing."""
_MOST_HELD_OUT = 0.3
_JUDGED_ROWS = 1_000
"""Fewer rows could not give the gate enough to judge by, whatever was held out of them."""
_LEAST_NORMED = 3
"""One row is held out, and a batch of one has no variance."""
_CHECKPOINTS = 10
_LEAST_ENTRIES = 1 << 12
_MOST_EPOCHS = 60
"""For very few rows, unless asked for."""
LARGE_BATCH, SMALL_BATCH, SMALL_ROWS = 128, 32, 4096


def plan_training(
    request: TrainingRequest,
    dataset: Json,
    *,
    base: Json | None = None,
    validation: Json | None = None,
    memory_limit_bytes: int | None = None,
) -> TrainingRequest:
    """Fill every default of a request and refuse what does not fit its data.

    Args:
        request: as it came.
        dataset: `input`, `target` and `rows` of the training data.
        base: `architecture`, `input` and `target` of the model to start from, where `base_model` is named.
        validation: `input`, `target` and `rows` of the dataset that `validation.dataset` names.
        memory_limit_bytes: what the job may use by estimate.

    Raises:
        InvalidError: `param` names the field.
    """
    task = _task(request, dataset["target"])
    _check_same_rows(dataset, base, "base_model")
    _check_same_rows(dataset, validation, "validation.dataset")
    architecture = _architecture(request, dataset, base)
    entry = ARCHITECTURES[architecture.type]
    _check_takes(entry.inputs, architecture, dataset["input"]["kind"])
    entry.check(architecture, network_shape(dataset["input"]))
    batch_size = request.batch_size or entry.recipe.batch_size or _batch_size(dataset["rows"])
    epochs = request.epochs or _epochs(entry.recipe, dataset["rows"], batch_size)
    plan = request.model_copy(
        update={
            "task": task,
            "architecture": architecture,
            "epochs": epochs,
            "batch_size": batch_size,
            "optimizer": request.optimizer or Adam(lr=entry.recipe.learning_rate * TASKS[task].haste),
            # Who names the optimizer gets its learning rate as it stands; the cosine is for who leaves it to us.
            "schedule": request.schedule or (ConstantSchedule() if request.optimizer else CosineSchedule()),
            "loss": request.loss or TASKS[task].default_loss(),
            "validation": _validation(request, dataset["rows"]),
            # Ten at most: on few rows an epoch is shorter than the writing of a checkpoint.
            "checkpoints": request.checkpoints or Checkpoints(every_epochs=math.ceil(epochs / _CHECKPOINTS)),
            "seed": request.seed or 0,
        }
    )
    _check_plan(plan, dataset)
    _check_memory(plan, dataset, memory_limit_bytes)
    return plan


def estimate_parameters(architecture: Architecture, input_shape: tuple[int, ...], outputs: int) -> int:
    """Count the parameters of a network that takes rows of `input_shape` (as the network sees them)."""
    return ARCHITECTURES[architecture.type].parameters(architecture, input_shape, outputs)


def estimate_memory_bytes(plan: TrainingRequest, dataset: Json) -> int:
    """Estimate what training takes beyond the interpreter: weights and all that shadows them, activations, data."""
    architecture = plan.architecture
    if architecture is None or plan.optimizer is None:
        raise ValueError("a plan has an architecture and an optimizer")
    shape = network_shape(dataset["input"])
    entry, outputs = ARCHITECTURES[architecture.type], output_size(dataset["target"])
    # weights, gradients, the optimizer's states, the best epoch's copy and the checkpoint being written
    copies = 4 + 2 * OPTIMIZER_STATES[plan.optimizer.type]
    weights = 4 * copies * entry.parameters(architecture, shape, outputs)
    activations = 4 * 2 * (plan.batch_size or LARGE_BATCH) * entry.units(architecture, shape, outputs)
    data = 2 * dataset["rows"] * _row_bytes(dataset["input"])
    scaled = min(4 * dataset["rows"] * math.prod(shape), MOST_SCALED)
    return int(weights + activations + data + scaled)


def _row_bytes(described: Json) -> int:
    if "row_bytes" in described:
        return int(described["row_bytes"])
    if described["kind"] == "table":
        return int(8 * math.prod(described["shape"]))
    width = 1 if described.get("dtype") == "uint8" else 4
    return int(math.prod(network_shape(described)) * width)


def output_size(target: Json) -> int:
    """Return how many numbers a network gives for one row."""
    return len(target["classes"]) if target["kind"] == "class" else int(math.prod(target["shape"]))


def _task(request: TrainingRequest, target: Json) -> str:
    multiple = bool(target.get("multiple"))
    of_classes = "multilabel_classification" if multiple else "classification"
    task = request.task or {"class": of_classes, "value": "regression"}.get(target["kind"])
    if task is None:
        raise InvalidError(
            "the dataset has no targets to learn; upload it with y", code="targets_missing", param="dataset"
        )
    if TASKS[task].target != target["kind"]:
        raise InvalidError(
            f"{task} needs targets of kind {TASKS[task].target}; the dataset's are of kind {target['kind']}",
            code="task_mismatch",
            param="task",
        )
    if TASKS[task].multiple != multiple:
        raise InvalidError(
            f"the dataset's rows have {'any number of classes' if multiple else 'one class'}; that is {of_classes}",
            code="task_mismatch",
            param="task",
        )
    if target["kind"] == "class" and len(target["classes"]) <= (0 if multiple else 1):
        raise InvalidError(
            f"there is one class only, {target['classes']}; a classifier needs rows of at least two",
            code="one_class",
            param="dataset",
        )
    return task


def _check_same_rows(dataset: Json, other: Json | None, param: str) -> None:
    if other is None:
        return
    check_same_inputs(dataset["input"], other["input"], what=param, param=param, unread=True)
    if any(dataset["target"].get(key) != other["target"].get(key) for key in ("kind", "shape", "multiple")):
        raise InvalidError(
            f"the dataset's targets are {dataset['target']['kind']} and those of {param} {other['target']['kind']}"
            " or of another shape; they must be the same",
            code="target_mismatch",
            param=param,
        )
    if param == "validation.dataset" and dataset["target"]["kind"] == "class":
        unknown = [c for c in other["target"]["classes"] if c not in set(dataset["target"]["classes"])]
        if unknown:
            raise InvalidError(
                f"the validation dataset has classes that training never sees: {unknown[:10]}",
                code="classes_unknown",
                param=param,
            )


def _architecture(request: TrainingRequest, dataset: Json, base: Json | None) -> Architecture:
    if base is None:
        return request.architecture or _SUITED[dataset["input"]["kind"]](dataset["input"], dataset["rows"])
    stored = base["architecture"]
    inherited = cast("Architecture", ARCHITECTURES[stored["type"]].config.model_validate(stored))
    if request.architecture not in {None, inherited}:
        raise InvalidError(
            f"the base model is {inherited!r}; the request asks for {request.architecture!r}. Leave architecture out",
            code="architecture_mismatch",
            param="architecture",
        )
    return inherited


def _for_texts(_: Json, rows: int) -> Architecture:
    """Give each row a dozen entries of the table: more are never touched, and every step costs by their number."""
    entries = max(_LEAST_ENTRIES, min(TextEncoder().buckets, 12 * rows))
    return TextEncoder(buckets=1 << (entries - 1).bit_length())


def _for_pictures(described: Json, _: int) -> Architecture:
    small = min(described["shape"][:2]) < 2 ** len(CNN().channels)
    return MLP() if small else CNN()


_SUITED: dict[str, Callable[[Json, int], Architecture]] = {
    "audio": lambda _, __: AudioCNN(),
    "image": _for_pictures,
    "table": lambda _, __: TabularMLP(),
    "tensor": lambda _, __: MLP(),
    "text": _for_texts,
}


def _check_takes(kinds: tuple[str, ...], architecture: Architecture, kind: str) -> None:
    if kind in kinds:
        return
    fitting = [name for name, entry in ARCHITECTURES.items() if kind in entry.inputs]
    raise InvalidError(
        f"{architecture.type} takes inputs of kind {' or '.join(kinds)}; the dataset's are of kind {kind}. "
        f"Use {' or '.join(fitting)}",
        code="architecture_mismatch",
        param="architecture",
    )


def _batch_size(rows: int) -> int:
    return LARGE_BATCH if rows > SMALL_ROWS else SMALL_BATCH


def _epochs(recipe: Recipe, rows: int, batch_size: int) -> int:
    steps = max(1, rows // batch_size)
    return min(_MOST_EPOCHS, max(recipe.epochs, math.ceil(recipe.least_steps / steps)))


def _validation(request: TrainingRequest, rows: int) -> Validation:
    wanted = request.validation or Validation()
    if wanted.fraction is not None and wanted.dataset is not None:
        raise InvalidError(
            "name validation.fraction or validation.dataset, not both", code="invalid", param="validation"
        )
    if wanted.dataset is not None:
        return wanted
    if rows <= 1:
        raise InvalidError(
            "one row cannot be split into training and validation; send more rows, or a validation.dataset",
            code="too_few_rows",
            param="dataset",
        )
    return Validation(fraction=wanted.fraction or held_out(rows))


def held_out(rows: int) -> float:
    """Return the share of so many rows that is held out: a tenth, or 2,000 rows, though never over three tenths."""
    if rows < _JUDGED_ROWS:
        return _HELD_OUT
    return round(max(_HELD_OUT, min(_MOST_HELD_OUT, _LEAST_HELD_OUT / rows)), 4)


def _check_plan(plan: TrainingRequest, dataset: Json) -> None:
    task = TASKS[plan.task or "classification"]
    if plan.loss is not None and plan.loss.type not in task.losses:
        raise InvalidError(
            f"{plan.task} is learned with {', '.join(task.losses)}, not with {plan.loss.type}",
            code="loss_mismatch",
            param="loss",
        )
    if plan.early_stopping is not None and plan.early_stopping.metric not in task.epoch_metrics:
        raise InvalidError(
            f"early stopping of a {plan.task} watches one of {', '.join(task.epoch_metrics)}, "
            f"not {plan.early_stopping.metric!r}",
            code="metric_unknown",
            param="early_stopping.metric",
        )
    if getattr(plan.optimizer, "nesterov", False) and not getattr(plan.optimizer, "momentum", 1):
        raise InvalidError("Nesterov's method needs a momentum above 0", code="invalid", param="optimizer.momentum")
    if getattr(plan.architecture, "batch_norm", False) and (plan.batch_size == 1 or dataset["rows"] < _LEAST_NORMED):
        raise InvalidError("batch_norm needs batches of at least 2 rows", code="batch_too_small", param="batch_size")


def _check_memory(plan: TrainingRequest, dataset: Json, limit: int | None) -> None:
    estimate = estimate_memory_bytes(plan, dataset)
    if limit is not None and estimate > limit:
        raise InvalidError(
            f"training this {plan.architecture!r} would take about {estimate / 2**20:,.0f} MB and a job may take "
            f"{limit / 2**20:,.0f} MB; use smaller layers, a smaller batch_size or fewer rows",
            code="too_large_for_memory",
            param="architecture",
        )
