"""One cell of a table: what counts as missing, a number, a date, a category. Knows no columns, no files and no torch.

The same rules hold for a csv, where all cells are strings, and for the JSON of a prediction, so that a row means the
same wherever it comes from.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import orjson

MISSING = frozenset({"", "?", "N/A", "NA", "NULL", "NaN", "None", "nan", "null"})
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?$"
_TIME = r"[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}|[0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}"
DATE = rf"^({_DAY})({_TIME})?$"
"""2026-01-31, 2026/01/31 and 31.01.2026, with or without a time. Where slashes come last, 01/02/2026, people disagree
which number is the month; such a date is a category."""
EXACT = 2**53
"""Whole numbers below it are exact as floats."""

_NUMBER, _DATE = re.compile(NUMBER), re.compile(DATE)
_YEAR_FIRST = re.compile(r"([0-9]{4})/([0-9]{1,2})/([0-9]{1,2})")
_YEAR_LAST = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")

Cell = float | str | list[Any] | None


def cell_of(value: Any) -> Cell:
    """Return a value of JSON as a cell: a float, a string without white space around it, a list, or None (missing)."""
    if value is None or isinstance(value, bool):
        return None if value is None else as_string(value)
    if isinstance(value, int | float):
        return _float_of(value)
    if isinstance(value, list | tuple):
        return list(value)
    text = as_string(value).strip()
    return None if text in MISSING else text


def _float_of(value: float) -> float | None:
    try:
        return None if math.isnan(value) else float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def as_string(cell: Any) -> str:
    """Return a cell as a csv would hold it: 3, not 3.0, and true, not True."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if abs(cell) < EXACT and cell.is_integer() else repr(cell)
    try:
        return orjson.dumps(cell, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except (TypeError, ValueError):
        return str(cell)


def number_of(cell: Cell) -> float | None:
    """Return a cell as a number; None where it is none. `true` and `false` are 1 and 0."""
    if isinstance(cell, float):
        return cell
    if isinstance(cell, str):
        if _NUMBER.match(cell):
            return float(cell)
        return {"true": 1.0, "false": 0.0}.get(cell.lower())
    return None


def seconds_of(cell: Cell) -> float | None:
    """Return a date as seconds since 1970, in UTC where it says nothing else; None where it is none."""
    if not isinstance(cell, str) or not _DATE.match(cell):
        return None
    try:
        moment = datetime.fromisoformat(_iso(cell))
    except ValueError:
        return None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except OverflowError:
        return None


def _iso(date: str) -> str:
    """Return a date as ISO 8601 writes it."""
    if found := _YEAR_FIRST.match(date):
        year, month, day = found.groups()
    elif found := _YEAR_LAST.match(date):
        day, month, year = found.groups()
    else:
        return date
    return f"{year}-{month:0>2}-{day:0>2}{date[found.end() :]}"


def category_of(cell: Cell) -> str:
    """Return a cell as the name of a category."""
    text = as_string(cell)
    return text.lower() if text in {"True", "False", "TRUE", "FALSE"} else text


def code_of(category: str) -> float:
    """Return a category's code, a whole number of 52 bits: a hash, so that no vocabulary is needed to write a row."""
    return float(int.from_bytes(blake2b(category.encode("utf-8", "replace"), digest_size=8).digest()) >> 12)
