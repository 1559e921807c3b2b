"""A JSON body against its type: what does not fit becomes one error that names the place and what would be right.

Knows pydantic, and no Flask. Broken JSON is malformed (400); readable and wrong is invalid (422).
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json, to_json

from lmaas_server.errors import InvalidError, MalformedError, ServiceError

__all__ = ["OneOf", "validate_json"]

_SHOWN = 3
_SHOWN_CHARACTERS = 80
_QUOTED = re.compile(r"'([^']*)'")
_CODES = {
    "extra_forbidden": "unknown_field",
    "missing": "missing_field",
    "union_tag_invalid": "unknown_type",
    "union_tag_not_found": "missing_field",
}


@dataclass(frozen=True)
class OneOf:
    """Two shapes of a body, told apart by whether a field is there: `{"items": [...]}` or one item.

    Where the body says true to the field that `partial` names, an element of `field` that does not fit is no reason to
    refuse the others: in its place stands the `ServiceError` that it is.
    """

    field: str
    present: Any
    absent: Any
    partial: str | None = None


def validate_json(kind: Any, raw: bytes) -> Any:
    """Return `raw` as an instance of `kind` (a model, a `OneOf`, anything a TypeAdapter takes).

    Raises:
        MalformedError: `raw` is not JSON.
        InvalidError: It is, and does not fit; `param` is a path like `architecture.hidden[0]`.
    """
    shapes = kind if isinstance(kind, OneOf) else None
    if shapes is not None:
        kind = shapes.present if _has_field(raw, shapes.field) else shapes.absent
    try:
        return _adapter(kind).validate_json(raw)
    except ValidationError as exc:
        if shapes is not None and (found := _in_place(shapes, raw, exc)) is not None:
            return found
        raise _translated(kind, raw, exc) from None


def _has_field(raw: bytes, name: str) -> bool:
    try:
        data = from_json(raw)
    except ValueError:
        return False
    return isinstance(data, dict) and name in data


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@functools.cache
def _schema(kind: Any) -> dict[str, Any]:
    return _adapter(kind).json_schema()


def _in_place(shapes: OneOf, raw: bytes, exc: ValidationError) -> Any:
    """Return the body with errors in the place of elements that do not fit, if it wants that and they are all."""
    errors = exc.errors(include_url=False)
    data = None if errors[0]["type"] == "json_invalid" else from_json(raw)
    if shapes.partial is None or not isinstance(data, dict) or data.get(shapes.partial) is not True:
        return None
    wrong: dict[int, list[ErrorDetails]] = {}
    for error in errors:
        match error["loc"]:
            case (shapes.field, int(place), *_):
                wrong.setdefault(place, []).append(error)
            case _:
                return None
    fitting = [item for place, item in enumerate(data[shapes.field]) if place not in wrong]
    given = {**data, shapes.field: fitting}
    # The rest is read as JSON again: what is strict of Python's types would refuse what is right in JSON.
    body = (
        _adapter(shapes.present).validate_json(to_json(given, inf_nan_mode="constants"))
        if fitting
        else shapes.present.model_construct(**given)
    )
    rest = iter(getattr(body, shapes.field))
    merged = [
        _invalid(shapes.present, data, wrong[place]) if place in wrong else next(rest)
        for place in range(len(data[shapes.field]))
    ]
    return body.model_copy(update={shapes.field: merged})


def _translated(kind: Any, raw: bytes, exc: ValidationError) -> ServiceError:
    errors = exc.errors(include_url=False)
    if errors[0]["type"] == "json_invalid":
        reason = str(errors[0].get("ctx", {}).get("error", errors[0]["msg"]))
        return MalformedError(f"The body is not JSON: {reason}.", code="json_invalid")
    return _invalid(kind, from_json(raw), errors)


def _invalid(kind: Any, data: Any, errors: Sequence[ErrorDetails]) -> InvalidError:
    told = [_told(kind, data, error) for error in errors]
    # A wrong branch of a plain union reports once per branch; the place is the same and said once.
    unique = list(dict.fromkeys(told))
    (param, message), rest = unique[0], unique[1:]
    lines = [message, *(text for _, text in rest[: _SHOWN - 1])]
    if len(unique) > _SHOWN:
        lines.append(f"... and {len(unique) - _SHOWN} more.")
    code = _CODES.get(errors[0]["type"], "invalid_value")
    return InvalidError(" ".join(lines), code=code, param=param)


def _told(kind: Any, data: Any, error: ErrorDetails) -> tuple[str | None, str]:
    """Say one error: its path and a sentence."""
    place, parent, node = _place(_schema(kind), data, error["loc"])
    param = _spelled(place)
    where = f"`{param}`" if param else "the body"
    last = str(place[-1]) if place else ""
    match error["type"]:
        case "extra_forbidden":
            known = list(parent.get("properties", {}))
            return param, f"Unknown field {where}{_closest(last, known)}"
        case "missing":
            return param, f"The field {where} is missing."
        case "union_tag_not_found":
            tag = str(error.get("ctx", {}).get("discriminator", "'type'")).strip("'")
            param = f"{param}.{tag}" if param else tag
            return param, f"The field `{param}` is missing; it is one of {_words(_tags(node))}."
        case "union_tag_invalid":
            ctx = error.get("ctx", {})
            tag = str(ctx.get("discriminator", "'type'")).strip("'")
            param = f"{param}.{tag}" if param else tag
            given, known = str(ctx.get("tag", "")), _QUOTED.findall(str(ctx.get("expected_tags", "")))
            return param, f"`{param}` has no {given!r}{_closest(given, known)}"
        case "literal_error" | "enum":
            known = _QUOTED.findall(str(error.get("ctx", {}).get("expected", "")))
            given = error["input"]
            if isinstance(given, str) and known:
                return param, f"{where} has no {given[:80]!r}{_closest(given, known)}"
    message = _lower(error["msg"])
    return (
        param,
        f"{where}: {message}." if ", not " in message else f"{where}: {message}, not {_shown(error['input'])}.",
    )


def _place(
    schema: dict[str, Any], data: Any, loc: Sequence[int | str]
) -> tuple[list[int | str], dict[str, Any], dict[str, Any]]:
    """Follow `loc` through the data; pydantic puts the names of union branches into it, which are no place.

    Returns the path in the data, the schema of the last element's parent, and that of the element.
    """
    root, node, parent = schema, schema, schema
    place: list[int | str] = []
    for position, step in enumerate(loc):
        node = _resolved(root, node)
        final = position == len(loc) - 1
        if isinstance(step, int) and isinstance(data, list):
            place.append(step)
            parent, node = node, _item_schema(node, step)
            data = data[step] if step < len(data) else None
        elif isinstance(step, str) and isinstance(data, dict) and (step in data or (final and not _is_tag(node, step))):
            place.append(step)
            parent, node = node, node.get("properties", {}).get(step, {})
            data = data.get(step)
        elif isinstance(step, str):
            node = _branch(root, node, step)
            parent = node
    return place, _resolved(root, parent), _resolved(root, node)


def _resolved(root: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        node = root["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    options = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
    return _resolved(root, options[0]) if len(options) == 1 else node


def _is_tag(node: dict[str, Any], step: str) -> bool:
    return step in _tags(node)


def _tags(node: dict[str, Any]) -> list[str]:
    return list(node.get("discriminator", {}).get("mapping", {}))


def _branch(root: dict[str, Any], node: dict[str, Any], tag: str) -> dict[str, Any]:
    reference = node.get("discriminator", {}).get("mapping", {}).get(tag)
    return _resolved(root, {"$ref": reference}) if reference else node


def _item_schema(node: dict[str, Any], index: int) -> dict[str, Any]:
    prefix = node.get("prefixItems", [])
    return cast("dict[str, Any]", prefix[index] if index < len(prefix) else node.get("items", {}))


def _spelled(place: Sequence[int | str]) -> str | None:
    """`["items", 3, "value"]` -> `items[3].value`."""
    return "".join(_pieces(place)).lstrip(".") or None


def _pieces(place: Sequence[int | str]) -> Iterator[str]:
    for step in place:
        yield f"[{step}]" if isinstance(step, int) else f".{step[:64]}"


def _closest(given: str, known: Sequence[str]) -> str:
    """Finish a sentence about an unknown word: `; did you mean 'adam'? Known: 'adam', 'sgd'.`."""
    near = difflib.get_close_matches(given.lower(), known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"{hint} Known: {_words(known)}." if known else hint


def _words(known: Sequence[str]) -> str:
    return ", ".join(repr(word) for word in known)


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."
