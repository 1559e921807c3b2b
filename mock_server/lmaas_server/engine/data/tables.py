"""Rows of named columns: read from csv, jsonl or parquet, and from JSON objects. No torch.

Rows are float64 of (rows, columns) as `columns` writes them: numbers, seconds, hashes of categories, NaN for missing.
A row means the same whatever file it came from, so rows of predictions, of feedback and of another dataset lie side by
side without a vocabulary to bring into line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lmaas_server.engine.data.cells import category_of, cell_of, code_of, number_of, seconds_of
from lmaas_server.engine.data.examples import Array, Examples, Json, ReadLimits
from lmaas_server.errors import InvalidError, ServiceError

KIND = "table"
_WORDS = {"number": "a finite number", "date": "a date such as 2026-01-31, 2026/01/31 or 31.01.2026"}


def read(  # noqa: PLR0917 - the signature of a reader
    path: Path, filename: str, form: str, spec: Json, target: Json, limits: ReadLimits
) -> Examples:
    """Read a table.

    Raises:
        InvalidError: `column_empty`, `column_unknown`, `column_ambiguous`, `cell_invalid` with its row, and what files
            and targets have.
    """
    from lmaas_server.engine.data.column_targets import Targets
    from lmaas_server.engine.data.columns import encoded
    from lmaas_server.engine.data.spill import room_for
    from lmaas_server.engine.data.survey import Survey, survey

    found: Survey = survey(path, filename, form, spec, limits)
    columns = found.named_target(target)
    if columns is None:
        raise InvalidError(
            f"which column of {filename} is the target? There are {', '.join(map(repr, found.file.names[:30]))}. "
            'Name it as target={"column": ...}, or say target kind none',
            code="column_ambiguous",
            param="target.column",
        )
    types = _types(found, dict(spec.get("columns") or {}), columns, exact=bool(spec.get("exact")))
    targets = Targets(found.aim(target, columns))
    inputs = room_for((found.rows, len(types)), np.float64, limits, near=path)
    for first, batch in found.batches():
        for index, (name, type) in enumerate(types.items()):
            numbers = encoded(batch[name], type, name=name, first_row=first)
            inputs[first : first + len(numbers), index] = numbers
        targets.add(batch, first)
    values, described = targets.finish()
    description: Json = {"kind": KIND, "shape": [len(types)], "dtype": "float64"}
    description["columns"] = [found.tallies[name].describe(type) for name, type in types.items()]
    description["unused"] = [name for name in found.file.names if name not in types]
    description |= {key: spec[key] for key in ("encoding", "delimiter", "header") if spec.get(key) is not None}
    return Examples(inputs=inputs, targets=values, format=form, input=description, target=described)


def rows(inputs: Array | Sequence[Any], description: Json) -> tuple[Array, dict[int, ServiceError]]:
    """Turn prediction inputs into rows: objects by column, or lists of cells in the order of the columns.

    A column that is not given is missing. A row that cannot be read is all missing in the array and named.
    """
    columns = description["columns"]
    array = np.full((len(inputs), len(columns)), np.nan)
    errors: dict[int, ServiceError] = {}
    types = {column["name"]: (index, column["type"]) for index, column in enumerate(columns)}
    given: Sequence[Any] = inputs.tolist() if isinstance(inputs, np.ndarray) else inputs
    for index, value in enumerate(given):
        try:
            _fill(array[index], value, types, description, index)
        except ServiceError as exc:
            array[index] = np.nan
            errors[index] = exc
    return array, errors


def preview(row: Array, description: Json) -> Any:
    """Return one row as JSON shows it; a category outside the dataset's most frequent is known by its code alone."""
    return {
        column["name"]: _shown(float(value), column) for column, value in zip(description["columns"], row, strict=True)
    }


def _types(found: Any, asked: dict[str, str], targets: tuple[str, ...], *, exact: bool) -> dict[str, str]:
    names, filename = found.file.names, found.file.filename
    for name in asked:
        if name not in names:
            raise InvalidError(
                f"{filename} has no column {name!r}; it has {', '.join(map(repr, names[:30]))}",
                code="column_unknown",
                param=f"input.columns.{name}",
            )
    if exact:  # the columns of a model or of an earlier reading, in their order, whatever else this file holds
        return asked
    types = {name: asked.get(name) or found.tallies[name].type for name in names if name not in targets}
    types = {name: type for name, type in types.items() if type != "ignore"}
    for name, tally in ((name, found.tallies[name]) for name in types):
        if tally.rows == tally.missing:
            raise InvalidError(
                f"column {name!r} of {filename} has no value in any of its {tally.rows:,} rows; remove it, or set its "
                f'type to ignore: {{"columns": {{"{name}": "ignore"}}}}',
                code="column_empty",
                param=f"input.columns.{name}",
            )
    if not types:
        raise InvalidError(
            f"{filename} has no column but the target; there is nothing to learn from", code="input_empty", param="file"
        )
    return types


def _fill(row: Array, value: Any, types: dict[str, tuple[int, str]], description: Json, index: int) -> None:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) == len(types):
        value = dict(zip(types, value, strict=True))
    if not isinstance(value, Mapping):
        raise InvalidError(
            f"row {index} must be an object by column, such as {_example(description)}, "
            f"or a list of {len(types)} cells",
            code="input_invalid",
            param=f"inputs[{index}]",
        )
    for name, given in value.items():
        place = types.get(name)
        if place is None:
            _refuse_unknown(name, types, description, index)
            continue
        row[place[0]] = _number(given, place[1], name, index)
    if np.isnan(row).all():
        raise InvalidError(
            f"row {index} has no value in any column; give at least one of {', '.join(list(types)[:30])}",
            code="row_empty",
            param=f"inputs[{index}]",
        )


def _refuse_unknown(name: Any, types: dict[str, Any], description: Json, index: int) -> None:
    # Whole rows of the file may be sent back: what was the target there, or was left out, is not looked at.
    if name in description.get("unused", ()):
        return
    raise InvalidError(
        f"row {index} has a column {str(name)[:60]!r} that the model does not know; "
        f"it takes {', '.join(list(types)[:30])}",
        code="column_unknown",
        param=f"inputs[{index}]",
    )


def _number(given: Any, type: str, name: str, index: int) -> float:
    cell = cell_of(given)
    if cell is None:
        return math.nan
    if type == "category":
        return code_of(category_of(cell))
    found = number_of(cell) if type == "number" else seconds_of(cell)
    if found is None or not math.isfinite(found):
        raise InvalidError(
            f"row {index}: column {name!r} takes {_WORDS[type]}, not {str(given)[:60]!r}",
            code="cell_invalid",
            param=f"inputs[{index}].{name}",
        )
    return found


def _example(description: Json) -> str:
    column = description["columns"][0]
    shown = {"number": "1.5", "date": '"2026-01-31"'}.get(column["type"], f'"{(column.get("categories") or ["a"])[0]}"')
    return f'{{"{column["name"]}": {shown}}}'


def _shown(value: float, column: Json) -> Any:
    if math.isnan(value):
        return None
    if column["type"] == "date":
        return datetime.fromtimestamp(value, UTC).isoformat()
    if column["type"] == "number":
        return value
    names = {code_of(name): name for name in column.get("categories", ())}
    return names.get(value, f"#{int(value):013x}")
