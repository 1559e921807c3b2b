"""Files of named columns, opened by their format; knows no types, no targets, no torch.

A file is read as often as its batches are asked for, so nobody needs to hold it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lmaas_server.engine.data.csv_rows import open_csv
from lmaas_server.engine.data.examples import Json, ReadLimits
from lmaas_server.engine.data.jsonl_rows import open_jsonl
from lmaas_server.engine.data.parquet_rows import open_parquet
from lmaas_server.engine.data.row_batches import RowFile


def open_rows(path: Path, filename: str, form: str, spec: Json, limits: ReadLimits) -> RowFile:
    """Open a csv, jsonl or parquet file; `spec` may hold `encoding`, `delimiter` and `header` for a csv.

    Raises:
        InvalidError: `encoding_unknown`, `encoding_invalid`, `row_ragged`, `row_invalid`, `columns_invalid`,
            `dataset_truncated`, `dataset_empty`; naming the row.
    """
    return _OPENERS[form](path, filename, spec, limits)


_OPENERS: dict[str, Callable[[Path, str, Json, ReadLimits], RowFile]] = {
    "csv": open_csv,
    "jsonl": open_jsonl,
    "parquet": open_parquet,
}
