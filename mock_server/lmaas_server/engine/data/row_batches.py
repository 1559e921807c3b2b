"""What files of named columns have in common: their rows come in batches of a bounded size. Knows no format.

Whatever the format, a cell is a string, a float, a point in time (seconds as a float), a list of strings, or missing,
and every column of a batch is one pyarrow array of one of those types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lmaas_server.engine.data.cells import as_string, cell_of
from lmaas_server.errors import InvalidError

MAX_COLUMNS = 4096
BLOCK_BYTES = 4 << 20
"""Of a file that is parsed at once; also the longest row."""
BATCH_ROWS = 8192

Batch = dict[str, pa.Array]


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file whose rows have named columns; `batches` may be called again and again."""

    filename: str
    format: str
    names: tuple[str, ...]
    batches: Callable[[], Iterator[Batch]]

    def __repr__(self) -> str:
        return f"RowFile({self.filename!r}, {self.format}, {len(self.names)} columns)"


def place(row: int) -> str:
    """Return how messages name a row: counted from 0 without the header, as `GET .../rows` counts."""
    return f"row {row:,}"


def check_names(names: tuple[str, ...], filename: str) -> None:
    """Refuse columns that cannot be told apart, or are too many.

    Raises:
        InvalidError: `columns_invalid`.
    """
    if len(names) > MAX_COLUMNS:
        raise InvalidError(
            f"{filename} has {len(names):,} columns; at most {MAX_COLUMNS:,} are read",
            code="columns_invalid",
            param="file",
        )
    for index, name in enumerate(names):
        if not name.strip():
            raise InvalidError(
                f"column {index + 1} of {filename} has no name; the first line names the columns, or say header: false",
                code="columns_invalid",
                param="file",
            )
        if name in names[:index]:
            raise InvalidError(
                f"{filename} has two columns named {name!r}; rename one", code="columns_invalid", param="file"
            )


def array_of(values: list[Any]) -> pa.Array:
    """Return JSON values as one column: floats, lists, or strings where they are of several types."""
    cells = [cell_of(value) for value in values]
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {float}:
        return pa.array(cells, type=pa.float64())
    if kinds == {list}:
        lists = [[as_string(item) for item in cell] if isinstance(cell, list) else None for cell in cells]
        return pa.array(lists, type=pa.list_(pa.string()))
    return pa.array([None if cell is None else as_string(cell) for cell in cells], type=pa.string())
