"""Columns of a table as numbers: types told from the values, then every cell a float64. Knows no files and no torch.

number      itself
date        seconds since 1970
category    a hash of its name (cells.code_of)
missing     NaN
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmaas_server.engine.data.cells import DATE, MISSING, NUMBER, as_string, category_of, code_of, seconds_of
from lmaas_server.engine.data.examples import Array, Json
from lmaas_server.errors import InvalidError

MOST_COUNTED = 10_000
"""Categories of a column that are told apart when they are counted."""
SHOWN_CATEGORIES = 50

_MISSING = pa.array(sorted(MISSING))


@dataclass(slots=True, eq=False)
class Tally:
    """What has been seen of a column so far."""

    name: str
    rows: int = 0
    missing: int = 0
    numbers: bool = True
    whole: bool = True
    dates: bool = True
    lists: bool = False
    bytes: int = 0
    """Of all strings."""
    counts: Counter[str] = field(default_factory=Counter)

    def __repr__(self) -> str:
        return f"Tally({self.name!r}, {self.rows} rows, {self.missing} missing)"

    def add(self, column: pa.Array) -> None:
        """Look at the next rows of the column, as `cleaned` gave them."""
        self.rows += len(column)
        self.missing += column.null_count
        if pa.types.is_list(column.type):
            self.lists, self.numbers, self.dates = True, False, False
            return
        if pa.types.is_timestamp(column.type):
            self.numbers = False
            return
        known = column.drop_null()
        if not len(known):
            return
        if pa.types.is_floating(column.type):
            self.dates = False
            self.whole = self.whole and bool(pc.all(pc.equal(known, pc.floor(known))).as_py())
            self._count(_strings(known))
            return
        self.bytes += pc.sum(pc.binary_length(known)).as_py()
        self.numbers = self.numbers and _all_match(known, NUMBER)
        self.whole = self.whole and self.numbers and _all_match(known, r"^[+-]?[0-9]{1,15}(\.0*)?$")
        self.dates = self.dates and _all_match(known, DATE) and None not in map(seconds_of, known.to_pylist())
        self._count(known)

    @property
    def type(self) -> str:
        """What the column looks like; strings of no other type are categories."""
        if self.rows == self.missing:
            return "empty"
        return "number" if self.numbers else "date" if self.dates else "category"

    def describe(self, type: str) -> Json:
        """Return what the dataset says of the column."""
        found: Json = {"name": self.name, "type": type, "missing": self.missing}
        if type == "category":
            # Equals by name, so that the description does not depend on the order of the rows.
            common = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_CATEGORIES]
            found |= {"distinct": len(self.counts), "categories": [name for name, _ in common]}
        return found

    def _count(self, known: pa.Array) -> None:
        if len(self.counts) < MOST_COUNTED:
            for pair in pc.value_counts(known).to_pylist():
                self.counts[category_of(pair["values"])] += pair["counts"]


def cleaned(column: pa.Array) -> pa.Array:
    """Return a column with white space around strings removed and all that means missing as null."""
    if pa.types.is_string(column.type):
        trimmed = pc.utf8_trim_whitespace(column)
        return pc.if_else(pc.is_in(trimmed, value_set=_MISSING), pa.scalar(None, pa.string()), trimmed)
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)
    return column


def encoded(column: pa.Array, type: str, *, name: str, first_row: int) -> Array:
    """Return a cleaned column as float64; a cell that is not of the type is named with its row."""
    values: Array = _ENCODERS[type](column)
    bad = np.flatnonzero(~np.isfinite(values) & column.is_valid().to_numpy(zero_copy_only=False))
    if len(bad):
        row = first_row + int(bad[0])
        cell = as_string(column[int(bad[0])].as_py())
        raise InvalidError(
            f"column {name!r} holds {cell[:60]!r} in row {row:,}; it is read as {_A[type]}. "
            "Correct the cell, or name the column's type in input.columns",
            code="cell_invalid",
            param=f"file[{row}].{name}",
        )
    return values


def _numbers(column: pa.Array) -> Array:
    if pa.types.is_floating(column.type):
        return _floats(column)
    if not pa.types.is_string(column.type):
        return np.full(len(column), np.nan)
    lower = pc.utf8_lower(column)
    column = pc.case_when(
        pc.make_struct(pc.equal(lower, "true"), pc.equal(lower, "false")), pa.scalar("1"), pa.scalar("0"), column
    )
    fits = pc.fill_null(pc.match_substring_regex(column, NUMBER), fill_value=False)
    plain = pc.replace_substring_regex(column, r"^\+", "")
    return _floats(pc.cast(pc.if_else(fits, plain, pa.scalar(None, pa.string())), pa.float64()))


def _dates(column: pa.Array) -> Array:
    if pa.types.is_timestamp(column.type):
        return _floats(pc.divide(pc.cast(pc.cast(column, pa.int64()), pa.float64(), safe=False), 1e6))
    found = [seconds_of(cell) if isinstance(cell, str) else None for cell in column.to_pylist()]
    return np.array([np.nan if value is None else value for value in found], dtype=np.float64)


def _categories(column: pa.Array) -> Array:
    coded = _strings(column).dictionary_encode()
    codes = np.array([code_of(category_of(name)) for name in coded.dictionary.to_pylist()] + [np.nan])
    indices = pc.fill_null(pc.cast(coded.indices, pa.int64()), len(codes) - 1).to_numpy(zero_copy_only=False)
    found: Array = codes[indices]
    return found


def _strings(column: pa.Array) -> pa.Array:
    if pa.types.is_string(column.type):
        return column
    return pa.array([None if c is None else as_string(c) for c in column.to_pylist()], type=pa.string())


def _floats(column: pa.Array) -> Array:
    found: Array = pc.fill_null(column, np.nan).to_numpy(zero_copy_only=False)
    return found


def _all_match(column: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(column, pattern)).as_py())


_ENCODERS: dict[str, Any] = {"number": _numbers, "date": _dates, "category": _categories}
_A = {
    "number": "a finite number",
    "date": "a date such as 2026-01-31, 2026-01-31T12:00:00Z, 2026/01/31 or 31.01.2026",
    "category": "a category",
}
