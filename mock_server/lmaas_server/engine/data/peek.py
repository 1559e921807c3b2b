"""Some rows of a file of columns as people read them, without the rest in memory. Knows texts and tables; no torch.

What a model reads of a cell is a number or a hash; this shows what stands in the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from lmaas_server.engine.data.cells import category_of, number_of
from lmaas_server.engine.data.columns import cleaned
from lmaas_server.engine.data.examples import Json, ReadLimits
from lmaas_server.engine.data.rowfiles import open_rows


def peek(
    path: Path, *, filename: str, format: str, input: Json, target: Json, rows: range, limits: ReadLimits
) -> list[Json]:
    """Return `{input, target}` of each of the rows of a described dataset, in the order of `rows`.

    Args:
        path: the file.
        filename: what messages call it.
        format: csv, jsonl or parquet.
        input: the dataset's description of its inputs.
        target: the dataset's description of its targets.
        rows: indices, a step of -1 for descending ones.
        limits: what reading may take.
    """
    if not len(rows):
        return []
    low, high = min(rows), max(rows)
    found: dict[int, Json] = {}
    first = 0
    for batch in open_rows(path, filename, format, input, limits).batches():
        size = len(next(iter(batch.values())))
        if first <= high and first + size > low:
            start, stop = max(0, low - first), min(size, high + 1 - first)
            part = {name: column.slice(start, stop - start) for name, column in batch.items()}
            shown = zip(_inputs(part, input), _targets(part, target), strict=True)
            found |= {first + start + i: {"input": x, "target": y} for i, (x, y) in enumerate(shown)}
        first += size
        if first > high:
            break
    return [found[row] for row in rows]


def _inputs(batch: dict[str, pa.Array], described: Json) -> list[Any]:
    if described["kind"] == "text":
        return [str(text) for text in batch[described["column"]].to_pylist()]
    names = [column["name"] for column in described["columns"]]
    columns = [[_shown(cell) for cell in cleaned(batch[name]).to_pylist()] for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _targets(batch: dict[str, pa.Array], described: Json) -> list[Any]:
    names = described.get("columns") or []
    columns = [[_target(cell, described) for cell in cleaned(batch[name]).to_pylist()] for name in names]
    if not columns:
        return [None] * len(next(iter(batch.values())))
    return columns[0] if len(columns) == 1 else [list(row) for row in zip(*columns, strict=True)]


def _target(cell: Any, described: Json) -> Any:
    if described["kind"] == "value":
        return number_of(cell)
    if described.get("multiple"):
        separator = described.get("separator")
        items = cell if isinstance(cell, list) else category_of(cell).split(separator) if separator else [cell]
        return [name for item in items if item is not None and (name := category_of(item).strip())]
    whole = isinstance(described["classes"][0], int) if described["classes"] else False
    return int(number_of(cell) or 0) if whole else category_of(cell)


def _shown(cell: Any) -> Any:
    return cell.isoformat() if hasattr(cell, "isoformat") else cell
