"""Rows of named columns as JSON lines, from frames and dicts of any library; knows no file, no types and no transport.

A cell is a number, a string, true or false, a list of those, a date, or missing: None, NaN, and what pandas and polars
write for it. Columns keep their names, so the server tells their types from their values.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard, cast

from lmaas._arrays import NUMBER_KINDS, as_array, is_rows
from lmaas.errors import InvalidRequestError

TEXT, TARGET = "text", "target"
"""Columns of (texts, targets)."""

_MISSING = frozenset({"NAType", "NaTType"})


def is_frame(value: Any) -> bool:
    """Whether the value is a data frame: it has columns and gives each by its name."""
    return hasattr(value, "columns") and hasattr(value, "__getitem__")


def is_mapping(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether the value is a row by column."""
    return isinstance(value, Mapping)


def is_numeric(frame: Any, target: str | None) -> bool:
    """Whether every column but the target holds numbers and none is missing: such a frame is an array."""
    for name in frame.columns:
        if str(name) == target:
            continue
        try:
            values = as_array(frame[name], str(name))
        except InvalidRequestError:
            return False
        if values is None or values.kind not in NUMBER_KINDS or _has_nan(frame[name]):
            return False
    return True


def frame_rows(frame: Any) -> list[dict[str, Any]]:
    """Return the rows of a frame by column."""
    names = [str(name) for name in frame.columns]
    columns = [_listed(frame[name]) for name in frame.columns]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def pair_rows(x: Any, y: Any) -> list[dict[str, Any]] | None:
    """Return (texts or dicts, targets) as rows; None where x is neither."""
    inputs, targets = _sequence(x), None if y is None else _sequence(y)
    if not inputs or not (all(isinstance(v, str) for v in inputs) or all(is_mapping(v) for v in inputs)):
        return None
    if targets is not None and len(targets) != len(inputs):
        raise InvalidRequestError(
            f"x has {len(inputs)} rows and y has {len(targets)}: each row of x needs its target", param="y"
        )
    rows = [dict(value) if is_mapping(value) else {TEXT: value} for value in inputs]
    for row, target in zip(rows, targets or (), strict=targets is not None):
        row[TARGET] = target
    return rows


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return rows as JSON lines.

    Raises:
        InvalidRequestError: A cell is none that a table can hold; its row and column are named.
    """
    return b"".join(_line(index, row) for index, row in enumerate(rows))


def json_row(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return one row with plain cells; `place` names it where a cell is none that a table can hold."""
    return {str(name): _cell(value, f"{place}[{name!r}]") for name, value in row.items()}


def _line(index: int, row: Mapping[str, Any]) -> bytes:
    plain = json_row(row, f"dataset[{index}]")
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _cell(value: Any, place: str) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return _number(value, place)
    if isinstance(value, list | tuple | set | frozenset):
        return _cells(cast("Iterable[Any]", value), place)
    if type(value).__name__ in _MISSING:
        return None
    for name in ("isoformat", "tolist", "__float__"):  # dates; numbers and arrays of any library; Decimal, Fraction
        convert = getattr(value, name, None)
        if callable(convert):
            return _cell(convert(), place)
    raise InvalidRequestError(
        f"{place} holds {type(value).__name__}; a cell is a number, a string, a date, a list, or None", param=place
    )


def _number(value: float, place: str) -> float | None:
    if math.isinf(value):
        raise InvalidRequestError(f"{place} is infinite; a table holds finite numbers", param=place)
    return None if math.isnan(value) else float(value)


def _cells(values: Iterable[Any], place: str) -> list[Any]:
    # Dicts in a list are the messages of a conversation.
    places = ((value, f"{place}[{index}]") for index, value in enumerate(values))
    return [json_row(value, where) if is_mapping(value) else _cell(value, where) for value, where in places]


def _listed(column: Any) -> list[Any]:
    for name in ("to_list", "tolist"):
        convert = getattr(column, name, None)
        if callable(convert):
            return cast("list[Any]", convert())
    return list(column)


def _sequence(value: Any) -> Sequence[Any] | None:
    if is_rows(value):
        return value
    return _listed(value) if hasattr(value, "tolist") or hasattr(value, "to_list") else None


def _has_nan(column: Any) -> bool:
    return any(isinstance(value, float) and math.isnan(value) for value in _listed(column))
