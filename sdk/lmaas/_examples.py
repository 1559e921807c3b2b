"""Examples of every form become an upload: files, bytes, arrays, frames, rows. Knows no endpoint and no transport."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard, cast

from lmaas._arrays import Array, as_array, from_nested, is_rows, npz, rows_of
from lmaas._records import frame_rows, is_frame, is_mapping, is_numeric, json_lines, pair_rows
from lmaas._request import Progress, Query, Upload
from lmaas.errors import InvalidRequestError

Examples: TypeAlias = Any
"""A path, bytes, (x, y), a data frame with `target=`, or a list of (x, y) rows or of dicts; libraries are not named, so
neither are their types."""


PAIR = 2


def to_upload(
    examples: Examples,
    *,
    column: str | None = None,
    named: bool = False,
    fields: Query = (),
    on_progress: Progress | None = None,
) -> Upload:
    """Return the examples as a file to upload; files are read only when they are sent.

    Args:
        examples: In any form.
        column: The target column, of a frame or of rows by column.
        named: Whether a frame keeps the names of its columns even where all hold numbers and an array would do.
        fields: Of the form, beside the file.
        on_progress: Called with the bytes sent and the bytes there are.

    Raises:
        InvalidRequestError: There is no such file, or these are no examples; the place is named.
    """
    upload = _upload(examples, column, named=named)
    if upload.size == 0:
        raise InvalidRequestError(f"{upload.filename} is empty", param="dataset")
    return replace(upload, fields=fields, on_progress=on_progress)


def _is_path(value: Any) -> TypeGuard[str | PathLike[str]]:
    return isinstance(value, str | PathLike)


def _is_pair(value: Any) -> TypeGuard[tuple[Any, Any]]:
    return isinstance(value, tuple) and len(cast("Sequence[Any]", value)) == PAIR


def has_columns(examples: Examples) -> bool:
    """Whether examples have columns by name that are sent with them: a frame, or rows as dicts."""
    return is_frame(examples) or (is_rows(examples) and bool(examples) and is_mapping(examples[0]))


def _upload(examples: Examples, column: str | None, *, named: bool) -> Upload:
    if _is_path(examples):
        return _from_path(Path(examples))
    if isinstance(examples, bytes | bytearray):
        return Upload("data", bytes(examples), len(examples))
    if has_columns(examples):
        return _from_columns(examples, column, named=named)
    if column is not None:
        raise InvalidRequestError(f"target={column!r} names a column, and this is no data frame", param="target")
    if is_rows(examples):
        return _from_sequence(examples)
    values = as_array(examples, "x")
    if values is not None:
        return _from_arrays(values, None)
    raise InvalidRequestError(
        f"a dataset is an id, a path, bytes, (x, y) arrays, a data frame, or a list of (x, y) rows or of dicts, "
        f"not {type(examples).__name__}",
        param="dataset",
    )


def _from_columns(examples: Any, column: str | None, *, named: bool) -> Upload:
    if not is_frame(examples):
        return _from_records(examples)
    _check_column(examples, column, named=named)
    if named or not is_numeric(examples, column):
        return _from_records(frame_rows(examples))
    return _from_arrays(*_from_frame(examples, column))


def _from_sequence(examples: Sequence[Any]) -> Upload:
    if _is_pair(examples):
        x, y = examples
        if (rows := pair_rows(x, y)) is not None:
            return _from_records(rows)
        return _from_arrays(_array(x, "x"), None if y is None else _array(y, "y"))
    pairs = _pairs(examples)
    if (rows := pair_rows([x for x, _ in pairs], [y for _, y in pairs])) is not None:
        return _from_records(rows)
    return _from_arrays(from_nested([x for x, _ in pairs], "x"), from_nested([y for _, y in pairs], "y"))


def _from_path(path: Path) -> Upload:
    try:
        size = path.stat().st_size
    except OSError as exc:
        raise InvalidRequestError(
            f"{str(path)!r} is neither the id of a dataset (ds-...) nor a file that can be read: {exc.strerror}",
            param="dataset",
        ) from exc
    if path.is_dir():
        raise InvalidRequestError(f"{str(path)!r} is a folder; upload a zip of it", param="dataset")
    return Upload(path.name, path, size)


def _array(value: Any, name: str) -> Array:
    found = as_array(value, name)
    if found is not None:
        return found
    if is_rows(value):
        return from_nested(value, name)
    raise InvalidRequestError(f"{name} must be an array or a list, not {type(value).__name__}", param=name)


def _from_arrays(x: Array, y: Array | None) -> Upload:
    if y is not None and rows_of(x) != rows_of(y):
        raise InvalidRequestError(
            f"x has {rows_of(x)} rows and y has {rows_of(y)}: each row of x needs its target", param="y"
        )
    if rows_of(x) == 0:
        raise InvalidRequestError("x holds no rows: its first axis is the rows, and it is empty", param="x")
    data = npz({"x": x} if y is None else {"x": x, "y": y})
    return Upload("data.npz", data, len(data))


def _from_records(rows: Sequence[Any]) -> Upload:
    for index, row in enumerate(rows):
        if not is_mapping(row):
            raise InvalidRequestError(f"row {index} must be a dict as row 0 is: {row!r:.80}", param=f"dataset[{index}]")
    data = json_lines(rows)
    return Upload("data.jsonl", data, len(data))


def _pairs(rows: Sequence[Any]) -> list[tuple[Any, Any]]:
    if not rows:
        raise InvalidRequestError("the list of rows is empty", param="dataset")
    for index, row in enumerate(rows):
        if not is_rows(row) or len(row) != PAIR:
            raise InvalidRequestError(f"row {index} must be a pair (x, y): {row!r:.80}", param=f"dataset[{index}]")
    return [(row[0], row[1]) for row in rows]


def _check_column(frame: Any, column: str | None, *, named: bool) -> None:
    columns = [str(name) for name in frame.columns]
    if column is None and not named:
        raise InvalidRequestError(f"name the target column: target= one of {', '.join(columns)}", param="target")
    if column is not None and column not in columns:
        raise InvalidRequestError(f"there is no column {column!r}; there is {', '.join(columns)}", param="target")
    if columns == [column]:
        raise InvalidRequestError(f"{column!r} is the only column; there is nothing to learn from", param="target")


def _from_frame(frame: Any, column: str | None) -> tuple[Array, Array]:
    names = [name for name in frame.columns if str(name) != column]
    target = next(name for name in frame.columns if str(name) == column)
    return _array(frame[names], "x"), _array(frame[target], str(column))
