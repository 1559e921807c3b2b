"""Rows of a parquet file, its many types of columns brought to those of cells. Knows no targets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from lmaas_server.engine.data.examples import Json, ReadLimits
from lmaas_server.engine.data.row_batches import BATCH_ROWS, BLOCK_BYTES, Batch, RowFile, array_of, check_names
from lmaas_server.errors import InvalidError, TooLargeError


def open_parquet(path: Path, filename: str, _: Json, limits: ReadLimits) -> RowFile:
    """Open a parquet file; what is neither text, number, date nor list becomes text as JSON writes it.

    Raises:
        InvalidError: `dataset_truncated`, `columns_invalid`.
        TooLargeError: `archive_too_large`, before anything is unpacked.
    """
    with _damage(filename):
        file = pyarrow.parquet.ParquetFile(path)
        metadata = file.metadata
        size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
        rows = max(1, min(BATCH_ROWS, BLOCK_BYTES * max(1, metadata.num_rows) // max(1, size)))
        names = tuple(str(name) for name in file.schema_arrow.names)
        file.close()
    if size > limits.max_unpacked_bytes:
        raise TooLargeError(
            f"{filename} unpacks to {size:,} bytes; at most {limits.max_unpacked_bytes:,} are taken",
            code="archive_too_large",
            param="file",
        )
    check_names(names, filename)

    def batches() -> Iterator[Batch]:
        with _damage(filename), pyarrow.parquet.ParquetFile(path, memory_map=True) as file:
            for batch in file.iter_batches(batch_size=rows, use_threads=False):
                batch.validate(full=True)  # a string that is no UTF-8 is read all the same, and breaks what works on it
                yield {name: _plain(batch.column(index)) for index, name in enumerate(names)}

    return RowFile(filename, "parquet", names, batches)


@contextmanager
def _damage(filename: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, EOFError) as exc:
        raise InvalidError(
            f"{filename} is no parquet file, or is damaged: {exc}", code="dataset_truncated", param="file"
        ) from exc


def _plain(column: Any) -> Any:
    """Bring a parquet column to one of the few types of cells."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return pc.cast(column, pa.float64(), safe=False)
    if pa.types.is_boolean(kind):
        return pc.if_else(column, "true", "false")
    if pa.types.is_large_string(kind):
        return pc.cast(column, pa.string())
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return pc.cast(
            pc.cast(column, pa.timestamp("us", "UTC" if getattr(kind, "tz", None) else None), safe=False),
            pa.timestamp("us"),
        )
    return array_of(column.to_pylist())
