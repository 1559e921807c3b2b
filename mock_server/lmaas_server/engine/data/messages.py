"""Conversations and prompts with their completions: read from jsonl, and from JSON for prediction. Imports no torch.

A row is `{"messages": [{"role", "content"}, ...]}` that ends with an answer, or `{"prompt", "completion"}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lmaas_server.engine.data.examples import Array, Examples, Json, ReadLimits
from lmaas_server.engine.data.lines import MOST_BYTES, Places
from lmaas_server.errors import InvalidError, TooLargeError

KIND = "messages"
ROLES = ("system", "developer", "user", "assistant", "tool")
_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a language model is asked: a text to go on with, or a conversation to answer in."""

    text: str | None = None
    messages: tuple[Json, ...] | None = None


def read(path: Path, name: str, limits: ReadLimits) -> Examples:
    """Read a jsonl of conversations, or of prompts with completions; one bad row refuses the file and is named.

    The rows stay in the file: each is read again when it is asked for.
    """
    places = Places(path, limits)
    form = "completion"
    for number, first, line in _lines(path, name):
        if "messages" in _row(_parsed(line, name, number), f"line {number}"):
            form = "chat"
        places.add(first, first + len(line))
        if places.exceeds:
            raise TooLargeError(f"{name} has more than {limits.max_rows:,} rows", code="too_many_rows", param="file")
    if not len(places):
        raise InvalidError(f"{name} has no rows", code="dataset_empty", param="file")
    return Examples(
        inputs=cast("Array", places.rows(_known)),  # indexed as an array is
        targets=None,
        format="jsonl",
        input={"kind": KIND, "form": form},
        target={"kind": "text"},
    )


def looks_like(head: bytes) -> bool:
    """Whether the first line of a jsonl is a row of this kind."""
    try:
        row = json.loads(head.split(b"\n", 1)[0])
    except ValueError:
        return False
    return isinstance(row, dict) and ("messages" in row or {"prompt", "completion"} <= row.keys())


def preview(row: Any) -> Any:
    """Return one row as JSON shows it."""
    return row


def question_of(value: Any, place: str, *, form: str) -> Question:
    """Return what one row of a prediction asks.

    A string is a text to go on with, or for a model taught by conversations (`form` is `chat`) one user's message;
    `{"prompt"}` is always a text, `{"messages"}` always a conversation.

    Raises:
        InvalidError: It is none of these, or empty; `place` is named.
    """
    if isinstance(value, dict) and value.keys() == {"messages"}:
        messages = _messages(value["messages"], place)
        return Question(messages=tuple(messages))
    if isinstance(value, dict) and value.keys() == {"prompt"}:
        return Question(text=_text(value["prompt"], f"{place}.prompt", code="input_invalid"))
    if not isinstance(value, str):
        raise InvalidError(
            f"{place} is {_shown(value)}; a language model takes a string, "
            '{"prompt": "..."} or {"messages": [...]}',
            code="input_invalid",
            param=place,
        )
    text = _text(value, place, code="input_invalid")
    return Question(messages=({"role": "user", "content": text},)) if form == "chat" else Question(text=text)


def _lines(path: Path, name: str) -> Iterator[tuple[int, int, bytes]]:
    """Yield the lines that are not empty: their number, where they begin, and their bytes."""
    number = first = 0
    with path.open("rb") as stream:
        while line := stream.readline(MOST_BYTES + 1):
            number += 1
            if len(line) > MOST_BYTES:
                raise InvalidError(
                    f"{name} line {number} is longer than {MOST_BYTES >> 20} MB; a line holds one row",
                    code="row_invalid",
                    param=f"line {number}",
                )
            if line.strip():
                yield number, first, line
            first += len(line)


def _parsed(line: bytes, name: str, number: int) -> Any:
    try:
        return json.loads(line)
    except UnicodeDecodeError as exc:
        raise InvalidError(
            f"{name} line {number} is not UTF-8: {exc}", code="encoding_unknown", param=f"line {number}"
        ) from exc
    except (ValueError, RecursionError) as exc:
        raise InvalidError(
            f"{name} line {number} is no JSON: {exc}", code="row_invalid", param=f"line {number}"
        ) from exc


def _known(line: bytes) -> Json:
    """Return a row that was found to be right before."""
    return _row(json.loads(line), "a line")


def _row(value: Any, place: str) -> Json:
    if isinstance(value, dict) and "messages" in value:
        messages = _messages(value["messages"], place)
        if messages[-1]["role"] != "assistant":
            raise InvalidError(
                f"{place}: the messages end with the {messages[-1]['role']}'s and without an answer to learn; "
                'the last must have the role "assistant"',
                code="answer_missing",
                param=place,
            )
        return {"messages": messages}
    if isinstance(value, dict) and {"prompt", "completion"} <= value.keys():
        return {
            "prompt": _text(value["prompt"], f"{place}: prompt"),
            "completion": _text(value["completion"], f"{place}: completion"),
        }
    raise InvalidError(
        f'{place} is {_shown(value)}; a row is {{"messages": [...]}} or {{"prompt": "...", "completion": "..."}}',
        code="row_invalid",
        param=place,
    )


def _messages(value: Any, place: str) -> list[Json]:
    if not isinstance(value, list) or not value:
        raise InvalidError(
            f"{place}: messages is {_shown(value)}; it takes a list of at least one message",
            code="row_invalid",
            param=place,
        )
    return [_message(message, f"{place}: messages[{index}]") for index, message in enumerate(value)]


def _message(value: Any, place: str) -> Json:
    if not isinstance(value, dict) or value.get("role") not in ROLES:
        raise InvalidError(
            f'{place} is {_shown(value)}; a message is {{"role": one of {", ".join(ROLES)}, "content": "..."}}',
            code="row_invalid",
            param=place,
        )
    return {"role": value["role"], "content": _text(value.get("content"), f"{place}.content")}


def _text(value: Any, place: str, *, code: str = "row_invalid") -> str:
    if not isinstance(value, str):
        raise InvalidError(f"{place} is {_shown(value)}; it takes a string", code=code, param=place)
    if not value.strip():
        raise InvalidError(f"{place} is an empty text; it takes at least one character", code="text_empty", param=place)
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise InvalidError(f"{place} holds half a surrogate pair, which is no text", code=code, param=place) from exc
    return value


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
