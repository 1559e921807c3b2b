"""Rows of a jsonl: one JSON object a line, whose keys are the columns. Knows no types of columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson

from lmaas_server.engine.data.examples import Json, ReadLimits
from lmaas_server.engine.data.row_batches import BATCH_ROWS, BLOCK_BYTES, MAX_COLUMNS, Batch, RowFile, array_of, place
from lmaas_server.errors import InvalidError


def open_jsonl(path: Path, filename: str, _: Json, __: ReadLimits) -> RowFile:
    """Open a jsonl; its columns are the keys of all its rows, and a row that lacks one lacks that cell.

    Raises:
        InvalidError: `row_invalid`, `columns_invalid`, `dataset_empty`.
    """
    names: dict[str, None] = {}
    for row, line, _size in _json_lines(path, filename):
        names |= dict.fromkeys(line)
        if len(names) > MAX_COLUMNS:
            raise InvalidError(
                f"{filename} has more than {MAX_COLUMNS:,} different keys by {place(row)}",
                code="columns_invalid",
                param="file",
            )
    found = tuple(names)
    if not found:
        raise InvalidError(f"{filename} has no rows", code="dataset_empty", param="file")

    def batches() -> Iterator[Batch]:
        rows: list[Json] = []
        held = 0
        for _, line, size in _json_lines(path, filename):
            rows.append(line)
            held += size
            if len(rows) == BATCH_ROWS or held >= BLOCK_BYTES:
                yield _columns_of(rows, found)
                rows, held = [], 0
        if rows:
            yield _columns_of(rows, found)

    return RowFile(filename, "jsonl", found, batches)


def _json_lines(path: Path, filename: str) -> Iterator[tuple[int, Json, int]]:
    """Yield each row, its number and how many bytes it is in the file."""
    row = 0
    with path.open("rb") as stream:
        while line := stream.readline(BLOCK_BYTES + 1):
            if not line.strip():
                continue
            yield row, _json_object(line, f"{place(row)} of {filename}", f"file[{row}]"), len(line)
            row += 1


def _json_object(line: bytes, where: str, param: str) -> Json:
    problem = f"it is longer than {BLOCK_BYTES >> 20} MB"
    if len(line) <= BLOCK_BYTES:
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as exc:
            problem = str(exc)
        else:
            if isinstance(value, dict):
                return value
            problem = f"it is a JSON {type(value).__name__}"
    raise InvalidError(
        f'{where} is no JSON object such as {{"age": 39, "job": "clerk"}}: {problem}', code="row_invalid", param=param
    )


def _columns_of(rows: list[Json], names: tuple[str, ...]) -> Batch:
    return {name: array_of([row.get(name) for row in rows]) for name in names}
