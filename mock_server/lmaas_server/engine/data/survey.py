"""A first look at a file of columns: what is in each, and which hold the targets. Knows no kind of input.

Files are read twice: once to learn how many rows there are and what they hold, once to fill arrays of that size. So
memory is bounded by a batch, and what a column is does not depend on its first thousand rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lmaas_server.engine.data.column_targets import Aim, aim_at, named_columns
from lmaas_server.engine.data.columns import Tally, cleaned
from lmaas_server.engine.data.examples import Json, ReadLimits
from lmaas_server.engine.data.row_batches import RowFile
from lmaas_server.engine.data.rowfiles import open_rows
from lmaas_server.errors import InvalidError, TooLargeError

FORMATS = ("csv", "jsonl", "parquet")


@dataclass(frozen=True, slots=True)
class Survey:
    """What a file holds."""

    file: RowFile
    rows: int
    tallies: dict[str, Tally]

    def __repr__(self) -> str:
        return f"Survey({self.file!r}, {self.rows} rows)"

    def batches(self) -> Iterator[tuple[int, dict[str, pa.Array]]]:
        """Read the file again: the first row of each batch and its cleaned columns."""
        row = 0
        for batch in self.file.batches():
            columns = {name: cleaned(column) for name, column in batch.items()}
            yield row, columns
            row += len(next(iter(columns.values())))

    def aim(self, target: Json, columns: tuple[str, ...]) -> Aim:
        """Decide what the target columns hold."""
        return aim_at(target, columns, self.tallies)

    def named_target(self, target: Json) -> tuple[str, ...] | None:
        """Return the target columns that the request or their names tell; None where neither does."""
        return named_columns(target, self.file.names, self.file.filename)


def survey(path: Path, filename: str, form: str, spec: Json, limits: ReadLimits) -> Survey:
    """Look through a whole file.

    Raises:
        InvalidError: `dataset_empty`, or what `open_rows` finds.
        TooLargeError: `too_many_rows`.
    """
    file = open_rows(path, filename, form, spec, limits)
    found = Survey(file, 0, {name: Tally(name) for name in file.names})
    rows = 0
    for first, batch in found.batches():
        for name, column in batch.items():
            found.tallies[name].add(column)
            rows = first + len(column)
        if limits.max_rows is not None and rows > limits.max_rows:
            raise TooLargeError(
                f"{filename} has more than {limits.max_rows:,} rows; no more are taken",
                code="too_many_rows",
                param="file",
            )
    if not rows:
        raise InvalidError(f"{filename} has no rows", code="dataset_empty", param="file")
    return Survey(file, rows, found.tallies)
