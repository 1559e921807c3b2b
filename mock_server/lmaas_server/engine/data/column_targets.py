"""Targets from columns: which column holds them, of what kind they are, and their values. Knows no inputs, no torch.

one column of strings or whole numbers      a class per row
numbers with fractions, or of many kinds    a value per row; several columns, several values
lists, or cells with a separator            any number of classes per row
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from lmaas_server.engine.data.cells import category_of, number_of
from lmaas_server.engine.data.columns import Tally
from lmaas_server.engine.data.examples import Array, Json
from lmaas_server.errors import InvalidError

NAMES = ("target", "targets", "label", "labels", "class", "category", "y")
"""Columns that are taken for the targets where nothing else is said, in this order."""
MOST_WHOLE_CLASSES = 100
"""Whole numbers of more kinds are values."""
MAX_CLASSES = 100_000
_MAX_MULTI_HOT = 1 << 29

Label = int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What is to be learned: `kind` is class, classes, value or none."""

    kind: str
    columns: tuple[str, ...] = ()
    separator: str | None = None
    whole: bool = False
    """Whether classes are whole numbers."""


def named_columns(spec: Json, names: Sequence[str], filename: str) -> tuple[str, ...] | None:
    """Return the target columns a request names or a name suggests; () for none, None where that cannot be told."""
    if spec.get("kind") == "none":
        return ()
    asked = spec.get("column")
    if asked is None:
        lower = {name.lower(): name for name in reversed(names)}
        return next(((lower[name],) for name in NAMES if name in lower), None)
    columns = (asked,) if isinstance(asked, str) else tuple(asked)
    for name in columns:
        if name not in names:
            raise InvalidError(
                f"{filename} has no column {name!r} for the target; it has {', '.join(map(repr, names[:30]))}",
                code="column_unknown",
                param="target.column",
            )
    if len(set(columns)) < len(columns):
        raise InvalidError("a target column is named twice", code="invalid", param="target.column")
    return columns


def aim_at(spec: Json, columns: tuple[str, ...], tallies: Mapping[str, Tally]) -> Aim:
    """Decide what the target columns hold, from what was seen of them.

    Raises:
        InvalidError: `labels_invalid`, they cannot be what the request says.
    """
    if not columns:
        return Aim(kind="none")
    separator, kind = spec.get("separator"), spec.get("kind")
    seen = [tallies[name] for name in columns]
    numeric = all(tally.numbers for tally in seen)
    if len(columns) > 1 or kind == "value":
        return _values(columns, numeric, kind)
    if separator or seen[0].lists:
        return Aim(kind="classes", columns=columns, separator=separator)
    whole = numeric and seen[0].whole
    if kind is None and numeric and not (whole and len(seen[0].counts) <= MOST_WHOLE_CLASSES):
        return Aim(kind="value", columns=columns)
    if numeric and not whole:
        raise InvalidError(
            f"class labels must be whole numbers or strings; column {columns[0]!r} holds fractions. "
            "Say target kind value to learn them",
            code="labels_invalid",
            param="target.kind",
        )
    return Aim(kind="class", columns=columns, whole=whole)


def _values(columns: tuple[str, ...], numeric: bool, kind: str | None) -> Aim:
    if not numeric or kind == "class":
        raise InvalidError(
            f"values must be numbers; columns {', '.join(map(repr, columns))} hold something else"
            if not numeric
            else "several target columns are several values; for several classes a row, put lists into one column",
            code="labels_invalid",
            param="target.column",
        )
    return Aim(kind="value", columns=columns)


@dataclass(slots=True, eq=False)
class Targets:
    """Collects the targets of a file, batch by batch."""

    aim: Aim
    _parts: list[Array] = field(default_factory=list)
    _lengths: list[Array] = field(default_factory=list)
    _index_of: dict[Label, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Targets({self.aim!r}, {len(self._parts)} batches)"

    def add(self, batch: Mapping[str, pa.Array], first_row: int) -> None:
        """Take in the next batch of cleaned columns."""
        if self.aim.kind == "none":
            return
        cells = [batch[name].to_pylist() for name in self.aim.columns]
        for name, column in zip(self.aim.columns, cells, strict=True):
            if None in column:
                row = first_row + column.index(None)
                raise InvalidError(
                    f"row {row:,} has no target: column {name!r} is empty; fill it in or remove the row",
                    code="labels_invalid",
                    param=f"file[{row}].{name}",
                )
        takers = {"class": self._take_classes, "classes": self._take_lists, "value": self._take_values}
        takers[self.aim.kind](cells, first_row)

    def finish(self) -> tuple[Array | None, Json]:
        """Return the targets of all rows and what the dataset says of them."""
        aim = self.aim
        if aim.kind == "none":
            return None, {"kind": "none"}
        if aim.kind == "value":
            values = np.concatenate(self._parts)
            several = len(aim.columns) > 1
            shape = [len(aim.columns)] if several else []
            found = values if several else values[:, 0]
            return found, {"kind": "value", "shape": shape, "columns": list(aim.columns)}
        # Whole numbers sort as numbers: all labels of a column are of one type.
        classes = sorted(self._index_of, key=lambda label: (str(type(label)), label))
        order = np.empty(len(classes), dtype=np.int64)
        order[[self._index_of[label] for label in classes]] = np.arange(len(classes))
        described: Json = {"kind": "class", "classes": classes, "columns": list(aim.columns)}
        indices = order[np.concatenate(self._parts)] if len(order) else np.empty(0, dtype=np.int64)
        if aim.kind == "class":
            return indices, described
        if aim.separator:
            described["separator"] = aim.separator
        return self._multi_hot(indices, len(classes)), {**described, "multiple": True}

    def _multi_hot(self, indices: Array, classes: int) -> Array:
        lengths = np.concatenate(self._lengths)
        if 4 * len(lengths) * classes > _MAX_MULTI_HOT:
            raise InvalidError(
                f"{len(lengths):,} rows of {classes:,} classes are too many to learn together",
                code="labels_invalid",
                param="file",
            )
        found = np.zeros((len(lengths), classes), dtype=np.float32)
        found[np.repeat(np.arange(len(lengths)), lengths), indices] = 1
        return found

    def _indices(self, labels: list[Label]) -> Array:
        known = self._index_of
        found = np.array([known.setdefault(label, len(known)) for label in labels], dtype=np.int64)
        if len(known) > MAX_CLASSES:
            raise InvalidError(
                f"column {self.aim.columns[0]!r} has more than {MAX_CLASSES:,} classes; is it the target?",
                code="labels_invalid",
                param="target.column",
            )
        return found

    def _take_classes(self, cells: list[list[Any]], _: int) -> None:
        whole = self.aim.whole
        labels: list[Label] = [int(number_of(cell) or 0) if whole else category_of(cell) for cell in cells[0]]
        self._parts.append(self._indices(labels))

    def _take_lists(self, cells: list[list[Any]], _: int) -> None:
        separator = self.aim.separator
        rows: list[list[Label]] = []
        for cell in cells[0]:
            items = cell if isinstance(cell, list) else category_of(cell).split(separator) if separator else [cell]
            rows.append(
                list(dict.fromkeys(name for item in items if item is not None and (name := category_of(item).strip())))
            )
        self._lengths.append(np.array([len(row) for row in rows], dtype=np.int64))
        self._parts.append(self._indices([label for row in rows for label in row]))

    def _take_values(self, cells: list[list[Any]], first_row: int) -> None:
        found = np.empty((len(cells[0]), len(cells)), dtype=np.float32)
        for index, column in enumerate(cells):
            values = [number_of(cell) for cell in column]
            with np.errstate(over="ignore"):
                found[:, index] = np.array([np.nan if value is None else value for value in values])
        bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(bad):
            row = first_row + int(bad[0])
            raise InvalidError(
                f"the target of row {row:,} is no finite number: {[column[int(bad[0])] for column in cells]}",
                code="not_finite",
                param=f"file[{row}]",
            )
        self._parts.append(found)
