"""Sentences and documents: read from a column of csv, jsonl or parquet, and from JSON strings. No torch.

Rows are one array of UTF-8 bytes (numpy's `S`): taking, joining and storing them is what it is for any array. A zero
byte, which would end a row there, is read as a space.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lmaas_server.engine.data.examples import Array, Examples, Json, ReadLimits
from lmaas_server.errors import InvalidError, ServiceError

KIND = "text"
NAMES = ("text", "sentence", "message", "content", "document", "body", "review", "title")
"""Columns that are taken for the text where nothing else is said, in this order."""
MAX_BYTES = 4096


def read(  # noqa: PLR0917 - the signature of a reader
    path: Path, filename: str, form: str, spec: Json, target: Json, limits: ReadLimits
) -> Examples:
    """Read a file of texts.

    Raises:
        InvalidError: `text_empty` with its row, `column_unknown`, `column_ambiguous`, and what files and targets have.
    """
    from lmaas_server.engine.data.column_targets import Targets
    from lmaas_server.engine.data.spill import room_for
    from lmaas_server.engine.data.survey import Survey, survey

    found: Survey = survey(path, filename, form, spec, limits)
    columns = found.named_target(target)
    column = _text_column(found, spec, columns or ())
    if columns is None:
        others = [name for name in found.file.names if name != column]
        columns = tuple(others) if len(others) <= 1 else _ambiguous(filename, others)
    targets = Targets(found.aim(target, columns))
    longest = int(spec.get("max_bytes") or MAX_BYTES)
    width, cut = _width(found, column, longest)
    inputs = room_for((found.rows,), f"S{width}", limits, near=path)
    for first, batch in found.batches():
        texts = [_packed(text or "", longest) for text in _strings(batch[column])]
        _check_none_empty(texts, first, column)
        inputs[first : first + len(texts)] = texts
        targets.add(batch, first)
    values, described = targets.finish()
    description: Json = {"kind": KIND, "shape": [], "dtype": "text", "row_bytes": width, "column": column}
    unused = [name for name in found.file.names if name != column]
    description |= {"max_bytes": longest, "longer": cut, "unused": unused}
    description |= {key: spec[key] for key in ("encoding", "delimiter", "header") if spec.get(key) is not None}
    return Examples(inputs=inputs, targets=values, format=form, input=description, target=described)


def rows(inputs: Array | Sequence[Any], description: Json) -> tuple[Array, dict[int, ServiceError]]:
    """Turn prediction inputs into texts; a row that is no text or an empty one is empty in the array and named."""
    longest = int(description.get("max_bytes") or MAX_BYTES)
    if isinstance(inputs, np.ndarray) and inputs.dtype.kind == "S" and inputs.ndim == 1:
        return inputs, {}
    errors: dict[int, ServiceError] = {}
    texts: list[bytes] = []
    for index, value in enumerate(inputs):
        text = _packed(value, longest) if isinstance(value, str) else b""
        if not text.strip():
            errors[index] = _row_error(index, value)
        texts.append(text)
    return np.array(texts, dtype=np.bytes_), errors


def preview(row: Array) -> Any:
    """Return one row as JSON shows it."""
    return bytes(row).decode("utf-8", "replace")


def stored(texts: Array) -> Array:
    """Return texts as a file of tensors holds them: uint8 of (rows, bytes), padded with 0."""
    return np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), texts.dtype.itemsize)


def restored(matrix: Array) -> Array:
    """Return what `stored` was given."""
    return np.ascontiguousarray(matrix, dtype=np.uint8).view(f"S{matrix.shape[1]}").reshape(len(matrix))


def _packed(text: str, longest: int) -> bytes:
    """Return the text in UTF-8, cut before the character that would go beyond `longest` bytes."""
    data = text.replace("\0", " ").encode("utf-8", "replace")
    if len(data) <= longest:
        return data
    return data[:longest].decode("utf-8", "ignore").encode()


def _row_error(index: int, value: Any) -> ServiceError:
    param = f"inputs[{index}]"
    if isinstance(value, str):
        return InvalidError(
            f"row {index} is an empty text; there is nothing to tell from it", code="text_empty", param=param
        )
    return InvalidError(
        f"row {index} must be a text (a JSON string), not {type(value).__name__}", code="input_invalid", param=param
    )


def _check_none_empty(texts: list[bytes], first: int, column: str) -> None:
    for index, text in enumerate(texts):
        if not text.strip():
            row = first + index
            raise InvalidError(
                f"the text of row {row:,} is empty (column {column!r}); remove the row or fill it in",
                code="text_empty",
                param=f"file[{row}].{column}",
            )


def _strings(column: Any) -> list[str | None]:
    from lmaas_server.engine.data.cells import as_string

    return [None if cell is None else as_string(cell) for cell in column.to_pylist()]


def _width(found: Any, column: str, longest: int) -> tuple[int, int]:
    """Return the bytes of the longest text, at most `longest`, and how many texts are longer than that."""
    width, cut = 1, 0
    for _, batch in found.batches():
        sizes = [len(text.encode("utf-8", "replace")) for text in _strings(batch[column]) if text]
        width = max(width, *sizes, 1)
        cut += sum(size > longest for size in sizes)
    return min(width, longest), cut


def _text_column(found: Any, spec: Json, targets: tuple[str, ...]) -> str:
    names, filename = [name for name in found.file.names if name not in targets], found.file.filename
    asked = spec.get("column")
    if asked is not None:
        if asked not in found.file.names:
            raise InvalidError(
                f"{filename} has no column {asked!r} for the text; it has {_listed(found.file.names)}",
                code="column_unknown",
                param="input.column",
            )
        return str(asked)
    lower = {name.lower(): name for name in reversed(names)}
    named: str | None = next((lower[name] for name in NAMES if name in lower), None)
    if named is not None:
        return named
    strings: list[str] = [name for name in names if found.tallies[name].type == "category"]
    if not strings:
        raise InvalidError(
            f"{filename} has no column of text; it has {_listed(found.file.names)}. "
            'Name it as {"kind": "text", "column": ...}',
            code="column_unknown",
            param="input.column",
        )
    # The longest strings are the text: labels are short.
    return max(strings, key=lambda name: found.tallies[name].bytes)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:30]))


def _ambiguous(filename: str, others: list[str]) -> tuple[str, ...]:
    raise InvalidError(
        f"which column of {filename} is the target? There are {_listed(others)}. "
        'Name it as target={"column": ...}, or say target kind none',
        code="column_ambiguous",
        param="target.column",
    )
