"""What a value of feedback may be, by its kind and the model it is about. Knows no storage.

| kind          | a model of classes                       | a model of values                  |
|---------------|------------------------------------------|------------------------------------|
| label         | a class, or a new one of the same type;  | a number, or as many as it gives   |
|               | a list of them where a row has several   |                                    |
| rating        | 1 or -1, true or false                   | none: it shows no choice to judge  |
| metric        | `{"name": ..., "value": number}`         | the same                           |
| comment       | text                                     | the same                           |
| preference, demonstration | of generated text only       | the same                           |

Of a model of texts: a rating as above; a demonstration is the text that should have been written; a preference
`{"over": prediction_id}`, of which another row than the item's is named by `index`, or both texts by themselves,
`{"chosen": text, "rejected": text}`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lmaas_server.errors import InvalidError
from lmaas_server.records import ModelRecord

__all__ = ["checked_value"]

_MAX_TEXT = 65_536
_MAX_LABEL = 256
_MAX_CLASSES = 1000
_INT64 = 2**63
_SHOWN_CLASSES = 20
_SHOWN_CHARACTERS = 60
_MAX_FLOAT32 = 3.4e38


def checked_value(kind: str, value: Any, model: ModelRecord, *, param: str) -> Any:
    """Return the value as it is stored.

    Raises:
        InvalidError: `feedback_invalid`, saying what would be right.
    """
    return _KINDS[kind](value, model, param)


def _label(value: Any, model: ModelRecord, param: str) -> Any:
    if model.target["kind"] not in _TARGETS:
        raise _wrong(param, value, f"{model.id} writes texts, which have no label; rate one with 1 or -1")
    return _TARGETS[model.target["kind"]](value, model, param)


def _class(value: Any, model: ModelRecord, param: str) -> int | str | list[int | str]:
    if not model.target.get("multiple"):
        return _one_class(value, model, param)
    if not isinstance(value, list) or len(value) > _MAX_CLASSES:
        raise _wrong(param, value, f"a row of {model.id} has any number of classes; send a list of them, [] for none")
    return list(dict.fromkeys(_one_class(item, model, f"{param}[{place}]") for place, item in enumerate(value)))


def _one_class(value: Any, model: ModelRecord, param: str) -> int | str:
    classes = model.target.get("classes") or []
    wanted = str if classes and isinstance(classes[0], str) else int
    fits = type(value) is wanted and (
        0 < len(value) <= _MAX_LABEL if isinstance(value, str) else -_INT64 <= value < _INT64
    )
    if not fits:
        known = ", ".join(repr(label) for label in classes[:_SHOWN_CLASSES]) + (
            ", ..." if len(classes) > _SHOWN_CLASSES else ""
        )
        what = "whole numbers" if wanted is int else f"strings of 1 to {_MAX_LABEL} characters"
        raise _wrong(param, value, f"the classes of {model.id} are {what}: {known}, or a new one of that type")
    label: int | str = value
    return label


def _number_or_list(value: Any, model: ModelRecord, param: str) -> Any:
    shape = model.target.get("shape") or []
    if not shape or shape == [1]:
        if isinstance(value, list) and len(value) == 1 and shape == [1]:
            return [_number(value[0], f"{param}[0]")]
        return _number(value, param)
    if not isinstance(value, list) or len(value) != shape[0]:
        raise _wrong(param, value, f"{model.id} gives {shape[0]} numbers a row; send a list of as many")
    return [_number(item, f"{param}[{place}]") for place, item in enumerate(value)]


def _number(value: Any, param: str) -> float | int:
    # A bool is an int to Python, and never a number that somebody meant. Beyond float32 a target becomes infinite.
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise _wrong(param, value, "it takes a number that float32 holds: finite, up to 3.4e38")
    return value


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value) and abs(value) < _MAX_FLOAT32
    except OverflowError:
        return False


def _rating(value: Any, model: ModelRecord, param: str) -> int:
    if model.target["kind"] == "value":
        right = f"{model.id} shows no class or text that could be right or wrong; say what is right with `label`"
        raise _wrong(param, value, right)
    if value is True or value is False:
        return 1 if value else -1
    if type(value) is int and value in {1, -1}:
        return value
    raise _wrong(param, value, "a rating is 1 (or true) for a good answer and -1 (or false) for a bad one")


def _metric(value: Any, _model: ModelRecord, param: str) -> dict[str, Any]:
    if not isinstance(value, dict) or value.keys() != {"name", "value"} or not _is_text(value["name"], _MAX_LABEL):
        raise _wrong(param, value, 'a metric is {"name": "clicks", "value": 3}')
    return {"name": value["name"], "value": _number(value["value"], f"{param}.value")}


def _comment(value: Any, _model: ModelRecord, param: str) -> str:
    if not _is_text(value, _MAX_TEXT):
        raise _wrong(param, value, f"a comment is text of 1 to {_MAX_TEXT} characters")
    text: str = value
    return text


def _demonstration(value: Any, model: ModelRecord, param: str) -> str:
    _check_writes(value, model, param)
    return _written(value, param, f"a demonstration is the text that {model.id} should have written")


def _preference(value: Any, model: ModelRecord, param: str) -> dict[str, Any]:
    _check_writes(value, model, param)
    right = (
        'a preference is {"over": "pred-..."}, another answer to the same prompt, or both texts, '
        '{"chosen": "...", "rejected": "..."}'
    )
    keys = value.keys() if isinstance(value, dict) else set()
    if keys == {"chosen", "rejected"}:
        found = {name: _written(value[name], f"{param}.{name}", right) for name in ("chosen", "rejected")}
        if found["chosen"] == found["rejected"]:
            raise _wrong(param, value, "the two texts are the same; neither is better")
        return found
    if "over" not in keys or not keys <= {"over", "index"} or not _is_text(value["over"], _MAX_LABEL):
        raise _wrong(param, value, right)
    if "index" in keys and (type(value["index"]) is not int or value["index"] < 0):
        raise _wrong(f"{param}.index", value["index"], "it takes the number of a row of the other prediction, from 0")
    return dict(value)


def _check_writes(value: Any, model: ModelRecord, param: str) -> None:
    kind = model.target["kind"]
    if kind != "text":
        right = f"{model.id} gives a {kind} a row; this kind is for generated text, `label` is for yours"
        raise _wrong(param, value, right)


def _written(value: Any, param: str, right: str) -> str:
    """Return a text that can be learned: something is in it."""
    if not _is_text(value, _MAX_TEXT) or not value.strip():
        raise _wrong(param, value, f"{right}, of 1 to {_MAX_TEXT:,} characters that are not all spaces")
    text: str = value
    return text


def _is_text(value: Any, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest


def _wrong(param: str, value: Any, right: str) -> InvalidError:
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[: _SHOWN_CHARACTERS - 3]}..."
    return InvalidError(f"`{param}` is {shown}; {right}.", code="feedback_invalid", param=param)


_Check = Callable[[Any, ModelRecord, str], Any]
_TARGETS: dict[str, _Check] = {"class": _class, "value": _number_or_list}
_KINDS: dict[str, _Check] = {
    "label": _label,
    "rating": _rating,
    "metric": _metric,
    "comment": _comment,
    "preference": _preference,
    "demonstration": _demonstration,
}
