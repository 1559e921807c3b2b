"""Arguments become request bodies: checked messages, rows to predict. Knows no endpoint and no transport."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from lmaas import types
from lmaas._arrays import as_array, is_rows, plain
from lmaas._records import frame_rows, is_frame, is_mapping, is_numeric, json_row
from lmaas.errors import InvalidRequestError

if TYPE_CHECKING:
    from pydantic import ValidationError

MessageT = TypeVar("MessageT", bound="types.WireRequest")

TAGGED = {
    "architecture": "type",
    "optimizer": "type",
    "schedule": "type",
    "loss": "type",
    "input": "kind",
    "target": "kind",
}
"""Fields that may be given as one word, and the key the word stands for."""


def checked(kind: type[MessageT], /, **fields: Any) -> MessageT:
    """Return the message, without the fields that are None.

    Raises:
        InvalidRequestError: A field is unknown or wrong; it is named, and so is the closest right word.
    """
    from pydantic import ValidationError

    given = {name: _shorthand(name, plain(value)) for name, value in fields.items() if value is not None}
    try:
        return kind.model_validate(given)
    except ValidationError as exc:
        raise _refusal(kind, exc) from exc


def encoded(message: types.WireRequest, *, exactly: Mapping[str, Any] | None = None) -> bytes:
    """Return the message as JSON, without what is not set; the fields in `exactly` as they are there, nulls too."""
    if not exactly:
        return message.model_dump_json(exclude_none=True).encode()
    document = {**message.model_dump(mode="json", exclude_none=True), **exactly}
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()


def _shorthand(name: str, value: Any) -> Any:
    return {TAGGED[name]: value} if name in TAGGED and isinstance(value, str) else value


def _refusal(kind: type[types.WireRequest], exc: ValidationError) -> InvalidRequestError:
    first = exc.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    place, name = ".".join(path) or kind.__name__, path[-1] if path else ""
    message = f"{place}: {first['msg']}"
    if first["type"] == "extra_forbidden":
        message = f"{place} is not known{_closest(name, list(_part_at(kind, path[:-1]).model_fields))}"
    elif first["type"] == "union_tag_invalid":
        context = first.get("ctx", {})
        tags = [word.strip(" '") for word in str(context.get("expected_tags", "")).split(",")]
        message = f"{place}: there is no {context.get('tag')!r}{_closest(str(context.get('tag')), tags)}"
    return InvalidRequestError(message, param=place)


def _closest(word: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there is {', '.join(known)}"


def _part_at(kind: type[types.WireRequest], path: Sequence[str]) -> type[types.WireRequest]:
    """Return the message found at `path` within a message; one of several is told by its tag, a step of the path."""
    parts = [kind]
    for step in path:
        if step in parts[0].model_fields:
            parts = list(_messages_in(parts[0].model_fields[step].annotation)) or parts
        else:
            tagged = [
                part
                for part in parts
                if step in {part.model_fields[tag].default for tag in ("type", "kind") if tag in part.model_fields}
            ]
            parts = tagged or parts
    return parts[0]


def _messages_in(annotation: Any) -> Iterator[type[types.WireRequest]]:
    """Yield the messages an annotation names, through unions and lists."""
    if isinstance(annotation, type) and issubclass(annotation, types.WireRequest):
        yield annotation
    for inner in get_args(annotation):
        yield from _messages_in(inner)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to predict as a body: an .npy file, or a list for JSON."""

    npy: bytes | None = None
    json: list[Any] | None = None


def encode_rows(inputs: Any) -> Rows:
    """Return rows to predict as they travel: an array as .npy, anything else as a list.

    One picture, text or dict alone is one row. A frame whose columns all hold numbers is an array in the order of its
    columns; any other keeps their names.

    Raises:
        InvalidRequestError: There are no rows, or it cannot be told what they are.
    """
    if isinstance(inputs, bytes | bytearray | Path | str | Mapping):
        return Rows(json=[_json_row(inputs, 0)])
    if is_frame(inputs) and not is_numeric(inputs, None):
        return Rows(json=[json_row(row, f"inputs[{index}]") for index, row in enumerate(frame_rows(inputs))])
    values = as_array(inputs)
    if values is not None:
        if not values.shape or not values.shape[0]:
            raise InvalidRequestError(
                "inputs holds no rows: its first axis is the rows, and it is empty", param="inputs"
            )
        if values.kind == "U":
            return Rows(json=_nested(inputs))
        return Rows(npy=values.npy())
    if not is_rows(inputs):
        raise InvalidRequestError(
            "inputs must be an array, a frame, a list of rows, or one row: a text, a dict, a file as bytes or Path; "
            f"not {type(inputs).__name__}",
            param="inputs",
        )
    if not inputs:
        raise InvalidRequestError("inputs holds no rows", param="inputs")
    return Rows(json=[_json_row(row, index) for index, row in enumerate(inputs)])


def json_rows(inputs: Any) -> list[Any]:
    """Return rows to predict as a list for JSON, an array too.

    Raises:
        InvalidRequestError: As `encode_rows` does.
    """
    rows = encode_rows(inputs)
    return list(_nested(inputs)) if rows.json is None else rows.json


def _json_row(row: Any, index: int) -> Any:
    """Return one row as JSON holds it: a picture's bytes in base64, arrays as nested lists."""
    if isinstance(row, Path):
        try:
            row = row.read_bytes()
        except OSError as exc:
            raise InvalidRequestError(f"inputs[{index}]: cannot read {row} ({exc})", param=f"inputs[{index}]") from exc
    if isinstance(row, bytes | bytearray):
        return {"base64": b64encode(row).decode()}
    if is_mapping(row):
        return json_row(row, f"inputs[{index}]")
    return _nested(row)


def _nested(value: Any) -> Any:
    value = plain(value)
    for name in ("detach", "to_numpy"):
        convert = getattr(value, name, None)
        value = convert() if callable(convert) else value
    if hasattr(value, "tolist"):
        return value.tolist()
    if is_rows(value):
        return [_nested(part) for part in value]
    return value


def to_json(document: Mapping[str, Any]) -> bytes:
    """Return the document as JSON.

    Raises:
        InvalidRequestError: It holds something JSON cannot, such as NaN.
    """
    try:
        return json.dumps(document, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as exc:
        raise InvalidRequestError(f"this cannot be sent as JSON: {exc}", param="inputs") from exc
