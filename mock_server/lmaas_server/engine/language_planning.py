"""From a request for a language model to a plan: defaults filled in, what cannot work refused. Imports no torch."""

from __future__ import annotations

from typing import Any

from lmaas.types import (
    AdamW,
    CausalLM,
    Checkpoints,
    ConstantSchedule,
    CosineSchedule,
    CrossEntropy,
    Gate,
    TrainingRequest,
    UpdateRequest,
    Validation,
)
from lmaas_server.engine.architectures import causal_lm
from lmaas_server.engine.base_models import DEFAULT_BASE, BaseModels, context_of
from lmaas_server.engine.registry import OPTIMIZER_STATES
from lmaas_server.errors import InvalidError

__all__ = ["asks_for_language", "check_readable", "plan_language", "plan_language_update", "row_tokens"]

Json = dict[str, Any]
TASK = "generation"
METRICS = ("loss", "perplexity", "token_accuracy")
MAX_ROW = 256
"""Tokens of running text that make a row, where the context allows; longer ones cost more than they teach."""
_EPOCHS, _RUNNING_EPOCHS, _MOST_EPOCHS = 3, 2, 60
_LEAST_STEPS = 60
"""A handful of rows is gone through as often as it takes to make so many steps."""
_MOST_CHECKPOINTS = 10
_BATCH, _RUNNING_BATCH = 8, 32
_RATES = ((1_000_000, 3e-3), (20_000_000, 1e-3), (200_000_000, 3e-4))
"""Learning rates for models of up to so many weights: what is small takes and needs larger steps."""
_LARGE_RATE, _ADAPTERS_RATE = 1e-4, 3e-3
_VALIDATION = 0.1
KL_BUDGET, BETA = 8.0, 0.1
"""Of an update: nats a text, and how dear a nat is against the wish to please (learning.md)."""
MAX_ANCHOR_DROP = 0.15
"""Nats a token, 16 % of perplexity: by so much learning.md lets base text become dearer."""
_FEW_ROWS = 20


def asks_for_language(request: TrainingRequest, dataset: Json, base: Json | None) -> bool:
    """Whether this is a request to train a language model, by its words, its data or what it starts from."""
    return (
        request.task == TASK
        or isinstance(request.architecture, CausalLM)
        or dataset["input"]["kind"] == "messages"
        or (dataset["input"]["kind"] == "text" and dataset["target"]["kind"] == "none")
        or (base is not None and base["architecture"]["type"] == "causal_lm")
    )


def plan_language(
    request: TrainingRequest,
    dataset: Json,
    *,
    base_models: BaseModels,
    base: Json | None = None,
    validation: Json | None = None,
    memory_limit_bytes: int | None = None,
) -> TrainingRequest:
    """Fill every default of a request to train a language model and refuse what does not fit.

    Args:
        request: as it came; `base_model` names a version, if anything.
        dataset: `input`, `target` and `rows` of the training data.
        base_models: what `architecture.base_model` may name.
        base: `architecture`, `input` and `target` of the version that `base_model` names.
        validation: `input`, `target` and `rows` of the dataset that `validation.dataset` names.
        memory_limit_bytes: what the job may use by estimate.

    Raises:
        InvalidError, MissingError: `param` names the field.
    """
    from lmaas_server.engine.data.plain_text import is_running  # late: numpy comes along

    _check_data(request, dataset, "dataset")
    if validation is not None:
        _check_data(request, validation, "validation.dataset")
    architecture = _architecture(request, base, base_models)
    running = is_running(dataset["input"])
    batch_size = request.batch_size or (_RUNNING_BATCH if running else _BATCH)
    epochs = request.epochs or (_RUNNING_EPOCHS if running else _epochs(dataset["rows"], batch_size))
    plan = request.model_copy(
        update={
            "task": TASK,
            "architecture": architecture,
            "epochs": epochs,
            "batch_size": batch_size,
            "gradient_accumulation": request.gradient_accumulation or 1,
            "optimizer": request.optimizer or AdamW(lr=_rate(architecture, base_models), betas=(0.9, 0.99)),
            # Who names the optimizer gets its learning rate as it stands, as with any other model.
            "schedule": request.schedule
            or (ConstantSchedule() if request.optimizer else CosineSchedule(warmup=0.05, final=0.1)),
            "loss": request.loss or CrossEntropy(),
            "validation": _validation(request, dataset["rows"], running=running),
            "checkpoints": request.checkpoints or Checkpoints(every_epochs=max(1, epochs // _MOST_CHECKPOINTS)),
            "seed": request.seed or 0,
        }
    )
    _check_plan(plan)
    _check_memory(plan, base_models, memory_limit_bytes)
    return plan


def plan_language_update(request: UpdateRequest) -> UpdateRequest:
    """Fill every default of a request to update a language model; its gate counts in nats a token."""
    gate = request.gate or Gate()
    if "max_anchor_drop" not in gate.model_fields_set:
        gate = gate.model_copy(update={"max_anchor_drop": MAX_ANCHOR_DROP})
    return request.model_copy(
        update={
            "seed": request.seed or 0,
            "gate": gate,
            "kl_budget": request.kl_budget or KL_BUDGET,
            "beta": request.beta or BETA,
        }
    )


def _epochs(rows: int, batch_size: int) -> int:
    steps = -(-rows // batch_size)
    return min(_MOST_EPOCHS, max(_EPOCHS, -(-_LEAST_STEPS // steps)))


def _rate(architecture: CausalLM, base_models: BaseModels) -> float:
    if architecture.lora is not None:
        return _ADAPTERS_RATE
    weights = _weights(architecture, base_models)
    return next((rate for most, rate in _RATES if weights <= most), _LARGE_RATE)


def _weights(architecture: CausalLM, base_models: BaseModels) -> int:
    """Return how many weights the network has; 0 where its base model is gone."""
    if architecture.llama is not None:
        return causal_lm.parameters(architecture.llama, architecture.llama.vocabulary)
    return base_models.get(architecture.base_model or "").parameters if architecture.base_model in base_models else 0


def row_tokens(context: int) -> int:
    """Return how many tokens of running text make a row."""
    return min(context, MAX_ROW)


def _check_data(request: TrainingRequest, dataset: Json, param: str) -> None:
    if request.task not in {None, TASK}:
        raise InvalidError(
            f"a causal_lm is trained for the task {TASK}, not {request.task}", code="task_mismatch", param="task"
        )
    check_readable(dataset["input"], dataset["target"], param=param)
    if not isinstance(request.architecture, CausalLM | None):
        raise InvalidError(
            f"messages and running text are learned by a causal_lm, not by {request.architecture.type}",
            code="architecture_mismatch",
            param="architecture",
        )


def check_readable(input: Json, target: Json, *, param: str) -> None:
    """Refuse data that a language model does not read.

    Raises:
        InvalidError: `input_mismatch`.
    """
    if input["kind"] != "messages" and not (input["kind"] == "text" and target["kind"] == "none"):
        raise InvalidError(
            f"a causal_lm learns from messages, or from texts without targets; the rows are {input['kind']} and "
            f"their targets {target['kind']}. Upload a jsonl of messages or of prompt and completion, or a txt",
            code="input_mismatch",
            param=param,
        )


def _architecture(request: TrainingRequest, base: Json | None, base_models: BaseModels) -> CausalLM:
    asked = request.architecture if isinstance(request.architecture, CausalLM) else CausalLM()
    if asked.llama is not None and (asked.base_model or base):
        raise InvalidError(
            "name a base model or the shape of a fresh llama, not both", code="invalid", param="architecture.llama"
        )
    if base is not None:
        if base["architecture"]["type"] != "causal_lm":
            raise InvalidError(
                f"{request.base_model} is a {base['architecture']['type']}; a causal_lm goes on from a causal_lm",
                code="architecture_mismatch",
                param="base_model",
            )
        if asked.base_model is not None:
            raise InvalidError(
                "name base_model or architecture.base_model, not both", code="invalid", param="architecture.base_model"
            )
        # What it once came from stays on the record; the weights are the version's.
        return CausalLM.model_validate(base["architecture"]).model_copy(update={"lora": asked.lora})
    if asked.llama is not None:
        causal_lm.check(asked.llama)
        return asked
    name = asked.base_model or DEFAULT_BASE
    base_models.get(name, param="architecture.base_model")
    return asked.model_copy(update={"base_model": name})


def _validation(request: TrainingRequest, rows: int, *, running: bool) -> Validation:
    wanted = request.validation or Validation()
    if wanted.fraction is not None and wanted.dataset is not None:
        raise InvalidError(
            "name validation.fraction or validation.dataset, not both", code="invalid", param="validation"
        )
    if wanted.dataset is not None or wanted.fraction is not None:
        return wanted
    # Of a handful of examples each is wanted for learning; figures are then of the training rows.
    return wanted if rows < _FEW_ROWS and not running else Validation(fraction=_VALIDATION)


def _check_plan(plan: TrainingRequest) -> None:
    if plan.loss is not None and plan.loss.type != "cross_entropy":
        raise InvalidError(
            f"a language model is learned with cross_entropy, not with {plan.loss.type}",
            code="loss_mismatch",
            param="loss",
        )
    if plan.loss is not None and getattr(plan.loss, "balanced", False):
        raise InvalidError("tokens are not balanced; leave it out", code="loss_mismatch", param="loss.balanced")
    if plan.early_stopping is not None and plan.early_stopping.metric not in METRICS:
        raise InvalidError(
            f"early stopping of a language model watches one of {', '.join(METRICS)}, "
            f"not {plan.early_stopping.metric!r}",
            code="metric_unknown",
            param="early_stopping.metric",
        )


def _check_memory(plan: TrainingRequest, base_models: BaseModels, limit: int | None) -> None:
    estimate = _estimate(plan, base_models)
    if limit is not None and estimate is not None and estimate > limit:
        raise InvalidError(
            f"training this would take about {estimate / 2**20:,.0f} MB and a job may take {limit / 2**20:,.0f} MB; "
            "use a smaller model, batch_size or max_tokens_per_batch",
            code="too_large_for_memory",
            param="architecture",
        )


def _estimate(plan: TrainingRequest, base_models: BaseModels) -> int | None:
    architecture, optimizer = plan.architecture, plan.optimizer
    if not isinstance(architecture, CausalLM) or optimizer is None:
        raise TypeError("a plan has an architecture and an optimizer")
    shape = architecture.llama
    if shape is not None:
        config = causal_lm.llama_config(shape, vocabulary=shape.vocabulary, bos=None, eos=None)
    elif architecture.base_model in base_models:
        config = base_models.get(architecture.base_model or "").config
    else:
        return None  # a version whose base model is gone: what was trained before can be trained again
    row = row_tokens(context_of(config))
    rows = plan.batch_size or _BATCH
    if plan.max_tokens_per_batch:
        rows = max(1, min(rows, plan.max_tokens_per_batch // row))
    copies = 2 if architecture.lora else 4 + 2 * OPTIMIZER_STATES[optimizer.type]
    return 4 * (copies * _weights(architecture, base_models) + rows * causal_lm.units(config, row))
