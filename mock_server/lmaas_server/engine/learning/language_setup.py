"""From a planned request and its rows to everything the loop of a language model needs. Knows no loop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lmaas.types import CausalLM, TrainingRequest
from lmaas_server.engine.architectures import causal_lm
from lmaas_server.engine.base_models import context_of
from lmaas_server.engine.data import plain_text
from lmaas_server.engine.data.examples import Examples, Json
from lmaas_server.engine.data.lines import Lines
from lmaas_server.engine.data.tokens import Marked, Tokens
from lmaas_server.engine.language_planning import row_tokens
from lmaas_server.engine.learning.language_rows import ANY_ROOM, Cut, MarkedRows, Rows, RunningRows
from lmaas_server.engine.learning.optimizers import build_optimizer
from lmaas_server.engine.learning.schedules import Rate, build_schedule
from lmaas_server.engine.learning.split import split_rows
from lmaas_server.engine.reports import Message
from lmaas_server.errors import InvalidError

_FEWEST_TOKENS = 3


class Learned(nn.Module):
    """The weights of a network that learn, and they alone: what a checkpoint keeps and an optimizer moves."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Tensor]:  # type: ignore[override]  # one of torch's overloads is enough
        """Return the weights by name; of shared ones the first name."""
        return {name: weight.detach() for name, weight in self._named()}

    def load_state_dict(self, state_dict: Any, *_: Any, **__: Any) -> Any:
        """Put weights that `state_dict` gave back, each in its place."""
        named = dict(self._named())
        if named.keys() != state_dict.keys():
            raise KeyError("the weights are not those of this network")
        with torch.no_grad():
            for name, weight in named.items():
                weight.copy_(state_dict[name])

    def _named(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, weight) for name, weight in self.network.named_parameters() if weight.requires_grad]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LanguageSetup:
    """What is learned, on what and how."""

    request: TrainingRequest
    architecture: CausalLM
    input: Json
    config: Json
    tokens: Tokens
    learned: Learned
    optimizer: torch.optim.Optimizer
    rate: Rate
    rows: Rows
    held: Rows
    held_out: bool
    epochs: int
    label_smoothing: float
    messages: tuple[Message, ...]

    def __repr__(self) -> str:
        return f"LanguageSetup({self.rows!r}, {self.epochs} epochs)"

    @property
    def work_of_batch(self) -> int:
        """Weights times the tokens learned in a batch, on average."""
        weights = sum(weight.numel() for weight in self.network.parameters())
        accumulation = self.request.gradient_accumulation or 1
        return weights * self.rows.tokens // (self.rows.steps * accumulation)

    @property
    def network(self) -> nn.Module:
        """What computes logits."""
        return self.learned.network


def set_up_language(
    examples: Examples, request: TrainingRequest, validation: Examples | None, base: Path | None
) -> LanguageSetup:
    """Split, fit a tokenizer on the training part where one is needed, load or build the network.

    Seeds torch's random state: the first weights and every dropout follow from `request.seed`.

    Raises:
        InvalidError: no row fits the model's context, or the base model cannot be loaded.
    """
    architecture, optimizer, schedule, epochs = (
        request.architecture,
        request.optimizer,
        request.schedule,
        request.epochs,
    )
    if not isinstance(architecture, CausalLM) or optimizer is None or schedule is None or epochs is None:
        raise ValueError("train_language() takes a request that plan_language() has filled")
    kept, held = split_examples(examples, request, validation)
    torch.manual_seed(request.seed or 0)
    config, tokens, network = _model(architecture, kept, base)
    cut = Cut(
        batch_size=request.batch_size or 1,
        accumulation=request.gradient_accumulation or 1,
        max_tokens=request.max_tokens_per_batch,
        seed=request.seed or 0,
    )
    context = context_of(config)
    rows, notes = _rows(kept, tokens, context, cut)
    held_rows, held_notes = (rows, []) if held is None else _rows(held, tokens, context, cut)
    learned = Learned(network.train())
    return LanguageSetup(
        request=request,
        architecture=architecture,
        input=examples.input,
        config=config,
        tokens=tokens,
        learned=learned,
        optimizer=build_optimizer([weight for weight in network.parameters() if weight.requires_grad], optimizer),
        rate=build_schedule(schedule, lr=optimizer.lr, steps=epochs * rows.steps, steps_per_epoch=rows.steps),
        rows=rows,
        held=held_rows,
        held_out=held is not None,
        epochs=epochs,
        label_smoothing=getattr(request.loss, "label_smoothing", 0.0),
        messages=(_told(rows, held_rows if held is not None else None, network), *notes, *held_notes),
    )


def rows_of(examples: Examples, tokens: Tokens, context: int, cut: Cut) -> Rows:
    """Return examples as the rows a language model is measured on."""
    return _rows(examples, tokens, context, cut)[0]


def split_examples(
    examples: Examples, request: TrainingRequest, validation: Examples | None
) -> tuple[Examples, Examples | None]:
    """Return the rows that a training learns and those it holds out, if it holds out any."""
    fraction = request.validation.fraction if request.validation else None
    if validation is not None or fraction is None:
        return examples, validation
    if not plain_text.is_running(examples.input):
        kept, held = split_rows(examples, fraction, request.seed or 0)
        return examples.take(kept), examples.take(held)
    # Of running text the end is held out: paragraphs between others would be half known.
    ends = np.cumsum(np.fromiter((len(row) for row in examples.inputs), dtype=np.int64))
    first = int(np.searchsorted(ends, ends[-1] * (1 - fraction), side="right"))
    first = min(max(first, 1), len(examples) - 1)
    if first == 0:
        raise InvalidError(
            "one paragraph cannot be split into training and validation; send more text, or a validation.dataset",
            code="too_few_rows",
            param="dataset",
        )
    return examples.take(np.arange(first)), examples.take(np.arange(first, len(examples)))


def _model(architecture: CausalLM, examples: Examples, base: Path | None) -> tuple[Json, Tokens, nn.Module]:
    if base is not None:
        config = json.loads((base / "config.json").read_bytes())
        tokens = Tokens.load(base)
        network = causal_lm.load(base)
        config |= {"eos_token_id": sorted(tokens.ends)} if len(tokens.ends) > 1 else {}
    elif (shape := architecture.llama) is not None:
        tokens = Tokens.fit(shape.tokenizer, texts_of(examples), vocabulary=shape.vocabulary)
        config = causal_lm.llama_config(shape, vocabulary=len(tokens), bos=tokens.bos, eos=tokens.eos)
        network = causal_lm.build(config)
    else:
        raise ValueError("a causal_lm without a shape of its own needs the directory of its base")
    if architecture.lora is not None:
        network = causal_lm.adapted(network, architecture.lora, ends=tokens.ends)
    return config, tokens, network


def texts_of(examples: Examples) -> Iterator[str]:
    """Yield all the text of examples, to fit a tokenizer on."""
    for row in examples.inputs:
        if not isinstance(row, dict):
            yield _text(row)
        elif "messages" in row:
            yield "".join(f"{message['role']}:\n{message['content']}\n" for message in row["messages"])
        else:
            yield row["prompt"] + row["completion"]


def _rows(examples: Examples, tokens: Tokens, context: int, cut: Cut) -> tuple[Rows, list[Message]]:
    room = examples.inputs.room if isinstance(examples.inputs, Lines) else ANY_ROOM
    if plain_text.is_running(examples.input):
        ids = tokens.encode_running(examples.inputs, room)
        if len(ids) < _FEWEST_TOKENS:
            raise InvalidError("the text is too short to learn from", code="too_few_rows", param="dataset")
        return RunningRows(ids, row_tokens(context), cut), []
    fitting = _Fitting(examples, tokens, context)
    rows = MarkedRows(fitting, cut, room=room)
    if not len(rows):
        raise InvalidError(
            f"no row leaves room for an answer: the shortest prompt has {fitting.shortest:,} tokens and the "
            f"model's context {context:,}",
            code="prompt_too_long",
            param="dataset",
        )
    return rows, fitting.notes()


class _Fitting:
    """The rows of examples as tokens, cut at a model's context; counts those that are left out or cut."""

    def __init__(self, examples: Examples, tokens: Tokens, context: int) -> None:
        self._examples = examples
        self._tokens = tokens
        self._context = context
        self.shortest = 0
        """Tokens of the shortest prompt."""
        self._left = self._shortened = 0

    def __iter__(self) -> Iterator[Marked]:
        for row in self._examples.inputs:
            marked = _marked(row, self._tokens)
            prompt = marked.learned.index(True) if True in marked.learned else len(marked)
            self.shortest = min(self.shortest or prompt, prompt)
            fitting = Marked(ids=marked.ids[: self._context + 1], learned=marked.learned[: self._context + 1])
            if not any(fitting.learned[1:]):
                self._left += 1
                continue
            self._shortened += len(marked) > len(fitting)
            yield fitting

    def notes(self) -> list[Message]:
        """Tell of the rows that are not learned as they are, once all were gone through."""
        notes = []
        if self._left:
            text = f"{self._left:,} rows are left out: their prompts alone fill the model's context of "
            notes.append(_warning(text, self._left, self._context))
        if self._shortened:
            text = f"{self._shortened:,} rows are cut at the model's context of "
            notes.append(_warning(text, self._shortened, self._context))
        return notes


def _warning(text: str, rows: int, context: int) -> Message:
    return Message("warning", f"{text}{context:,} tokens", {"rows": rows, "context": context})


def _marked(row: Any, tokens: Tokens) -> Marked:
    if not isinstance(row, dict):
        ids = tokens.encode(_text(row))
        ids = ids if tokens.eos is None else [*ids, tokens.eos]
        return Marked(ids=ids, learned=[True] * len(ids))
    if "messages" in row:
        return tokens.encode_conversation(row["messages"])
    return tokens.encode_completion(row["prompt"], row["completion"])


def _text(row: Any) -> str:
    """Return a row of texts, which are kept as UTF-8, or of running text."""
    return bytes(row).decode("utf-8", "replace") if isinstance(row, bytes) else str(row)


def _told(rows: Rows, held: Rows | None, network: nn.Module) -> Message:
    learning = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    data = {"training_rows": len(rows), "training_tokens": rows.tokens, "learning_parameters": learning}
    text = f"{len(rows):,} rows with {rows.tokens:,} tokens to learn, {learning:,} weights that learn them"
    if held is None:
        return Message("warning", f"{text}; no row is held out, and the figures are of the training rows", data)
    return Message("info", f"{text}; {len(held):,} rows held out", {**data, "validation_rows": len(held)})
