"""Feedback on generated texts, held against what was asked: is it one prompt, and is there room for a text.

Knows no HTTP, no storage of feedback and no learning. What a value looks like by itself is `feedback_values`'s matter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmaas.types import FeedbackItem
from lmaas_server.engine.base_models import context_of
from lmaas_server.errors import InvalidError, MissingError
from lmaas_server.records import ModelRecord, PredictionRecord
from lmaas_server.services.models import bundle_key
from lmaas_server.services.prediction_log import logged_inputs
from lmaas_server.storage import Artifacts, Storage

if TYPE_CHECKING:
    from lmaas_server.engine.data.messages import Question
    from lmaas_server.engine.data.tokens import Tokens

__all__ = ["AboutTexts", "TextFeedback"]

_KINDS = {"preference", "demonstration"}
_MOST_READERS = 4
_SHOWN = 60
_SURELY_SHORT = 4
"""A character has at most so many bytes, and tokens are seldom more than bytes: what is short is not counted."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """How a version reads texts."""

    tokens: Tokens
    context: int


class TextFeedback:
    """Checks feedback on texts against the log of predictions and the tokenizer of the version that wrote them."""

    def __init__(self, storage: Storage, artifacts: Artifacts) -> None:
        """Take the log of predictions, and where the bundles of versions are."""
        self._storage = storage
        self._artifacts = artifacts
        self._readers: dict[str, _Reader] = {}

    def __repr__(self) -> str:
        return f"TextFeedback({len(self._readers)} tokenizers)"

    def about(self, items: Iterable[FeedbackItem]) -> AboutTexts:
        """Look up, at once, every prediction that needs a look."""
        wanted: dict[str, None] = {}
        for item in items:
            if item.kind in _KINDS:
                wanted[item.prediction_id] = None
                over = item.value.get("over") if isinstance(item.value, dict) else None
                if isinstance(over, str):
                    wanted[over] = None
        return AboutTexts(self, self._storage.predictions.get_many(list(wanted)) if wanted else {})

    def reader_of(self, model: ModelRecord) -> _Reader:
        """Return the tokenizer of a version and its context."""
        found = self._readers.get(model.id)
        if found is None:
            directory = self._artifacts.path(bundle_key(model))
            config = json.loads((directory / "config.json").read_bytes())
            # Here and not above: a server that answers no texts starts without a tokenizer.
            from lmaas_server.engine.data.tokens import Tokens

            found = _Reader(Tokens.load(directory), context_of(config))
            if len(self._readers) >= _MOST_READERS:
                self._readers.clear()
            self._readers[model.id] = found
        return found


class AboutTexts:
    """The predictions that the items of one call are about."""

    def __init__(self, texts: TextFeedback, predictions: Mapping[str, PredictionRecord]) -> None:
        self._texts = texts
        self._predictions = predictions
        self._rows: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"AboutTexts({len(self._predictions)} predictions)"

    def check(self, item: FeedbackItem, value: Any, model: ModelRecord, *, param: str) -> None:
        """Hold a value that is right by itself against what was asked.

        Raises:
            MissingError: `prediction_not_found`: what it is better than is not there.
            InvalidError: `prompts_differ`: the two answer different prompts; `text_too_long`: with its prompt a text
                does not fit the model's context; `feedback_invalid`.
        """
        if item.kind == "demonstration":
            self._check_length(item, value, model, param)
        elif item.kind == "preference" and "over" in value:
            self._check_other(item, value, model, param)
        elif item.kind == "preference":
            for name in ("chosen", "rejected"):
                self._check_length(item, value[name], model, f"{param}.{name}")

    def _check_length(self, item: FeedbackItem, text: str, model: ModelRecord, param: str) -> None:
        question = self._question(item.prediction_id, item.index, model)
        if question is None:
            return
        reader = self._texts.reader_of(model)
        asked = question.messages if question.messages is not None else question.text or ""
        if _SURELY_SHORT * (len(text) + len(str(asked))) < reader.context:
            return
        row = reader.tokens.encode_answer(asked, text)
        if len(row) - 1 > reader.context:
            said = sum(row.learned)
            raise InvalidError(
                f"`{param}` has {said:,} tokens and its prompt {len(row) - said:,}, and the context of {model.id}, "
                f"which they share, is {reader.context:,}; shorten the text.",
                code="text_too_long",
                param=param,
            )

    def _check_other(self, item: FeedbackItem, value: Any, model: ModelRecord, param: str) -> None:
        """Cases: 1 it is not there, 2 it has no such text, 3 it is the same text, 4 it answers something else."""
        name, place = value["over"], value.get("index", item.index)
        other = self._predictions.get(name)
        if other is None:
            message = f"`{param}.over`: there is no prediction {name!r}, so nothing can be better than it."
            raise MissingError(message, code="prediction_not_found", param=f"{param}.over")
        if place >= other.rows or "text" not in other.outputs[place]:
            message = f"`{param}`: row {place} of {name} is no text; it has {other.rows} rows."
            raise InvalidError(message, code="feedback_invalid", param=param)
        if (name, place) == (item.prediction_id, item.index):
            message = f"`{param}`: row {place} of {name} is preferred over itself; name another answer to its prompt."
            raise InvalidError(message, code="feedback_invalid", param=param)
        mine, theirs = self._question(item.prediction_id, item.index, model), self._question(name, place, model)
        if mine is not None and theirs is not None and mine != theirs:
            message = (
                f"`{param}`: row {item.index} of {item.prediction_id} answers {_shown(mine)} and row {place} of {name} "
                f"{_shown(theirs)}; a preference is between answers to one prompt."
            )
            raise InvalidError(message, code="prompts_differ", param=param)

    def _question(self, name: str, place: int, model: ModelRecord) -> Question | None:
        """Return what a row was asked; None where the inputs were not kept."""
        prediction = self._predictions.get(name)
        if prediction is None:
            return None
        if name not in self._rows:  # read once, however many items speak of its rows
            self._rows[name] = logged_inputs(prediction)
        if (rows := self._rows[name]) is None:
            return None
        from lmaas_server.engine.data.messages import question_of  # late: numpy comes along

        return question_of(rows[place], "prompt", form=str(model.input.get("form", "")))


def _shown(question: Question) -> str:
    text = question.text if question.messages is None else question.messages[-1]["content"]
    shown = repr(text)
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
