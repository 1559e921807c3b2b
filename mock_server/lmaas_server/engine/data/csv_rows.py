"""Rows of a csv: its encoding, its delimiter, its first row, then its cells as strings. Knows no types of columns."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from lmaas_server.engine.data.examples import Json, ReadLimits
from lmaas_server.engine.data.row_batches import BATCH_ROWS, BLOCK_BYTES, Batch, RowFile, check_names, place
from lmaas_server.errors import InvalidError

_DELIMITERS = ",\t;|"
_SNIFFED_BYTES = 64 << 10


def open_csv(path: Path, filename: str, spec: Json, _: ReadLimits) -> RowFile:
    """Open a csv; `spec` may hold `encoding`, `delimiter` (one is found) and `header` (whether the first row is one).

    Raises:
        InvalidError: `encoding_unknown`, `encoding_invalid`, `delimiter_invalid`, `columns_invalid`, `dataset_empty`;
            while it is read `row_ragged`, `row_invalid`, `dataset_truncated`.
    """
    encoding = _check_encoding(path, filename, spec.get("encoding") or "utf-8")
    first, delimiter = _first_row(path, filename, encoding, spec.get("delimiter"))
    header = spec.get("header", True)
    names = tuple(name.strip() for name in first) if header else tuple(f"column_{i + 1}" for i in range(len(first)))
    check_names(names, filename)

    def batches() -> Iterator[Batch]:
        yield from _csv_batches(path, filename, encoding, delimiter, names, skip=int(header))

    return RowFile(filename, "csv", names, batches)


def _csv_batches(
    path: Path, filename: str, encoding: str, delimiter: str, names: tuple[str, ...], *, skip: int
) -> Iterator[Batch]:
    ragged: list[Any] = []

    def refuse(row: Any) -> str:
        ragged.append(row)
        return "error"

    count = 0
    try:
        reader = pyarrow.csv.open_csv(
            pa.memory_map(str(path)),  # it reads 32 blocks ahead, which of a mapped file take no memory
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,  # threads lose count of the rows
                block_size=BLOCK_BYTES,
                column_names=list(names),
                skip_rows_after_names=skip,
                encoding=encoding,
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refuse
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
        for block in reader:
            count += block.num_rows
            # A block of short rows has so many that what is made of them would be many times its size.
            for first in range(0, block.num_rows, BATCH_ROWS):
                batch = block.slice(first, BATCH_ROWS)
                yield {name: batch.column(index) for index, name in enumerate(names)}
    except (pa.ArrowException, ValueError, OSError) as exc:
        raise _csv_error(exc, ragged, filename, columns=len(names), count=count, skip=skip) from exc


def _csv_error(
    exc: Exception, ragged: list[Any], filename: str, *, columns: int, count: int, skip: int
) -> InvalidError:
    if ragged:
        found = ragged[0]
        row = count if found.number is None else found.number - 1 - skip
        return InvalidError(
            f"{place(row)} of {filename} has {found.actual_columns} cells and there are {columns} columns: "
            f"{found.text[:80]!r}. Put quotes around cells that hold the delimiter",
            code="row_ragged",
            param=f"file[{row}]",
        )
    if "straddling" in str(exc):
        return InvalidError(
            f"a row of {filename} after {place(count)} is longer than {BLOCK_BYTES >> 20} MB; is a quote left open?",
            code="row_invalid",
            param="file",
        )
    return InvalidError(
        f"{filename} cannot be read as csv after {place(count)}: {exc}", code="dataset_truncated", param="file"
    )


def _check_encoding(path: Path, filename: str, encoding: str) -> str:
    """Decode the whole file once, block by block: what pyarrow says of a wrong byte names no place."""
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
        "".encode(encoding)
    except (LookupError, ValueError, TypeError, UnicodeError) as exc:
        raise InvalidError(
            f"there is no text encoding {encoding!r}; utf-8, utf-16, latin-1 and cp1252 are the usual ones",
            code="encoding_unknown",
            param="input.encoding",
        ) from exc
    lines = 1
    with path.open("rb") as stream:
        while True:
            block = stream.read(1 << 20)
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as exc:
                line = lines + block.count(b"\n", 0, _error_at(exc))
                raise InvalidError(
                    f"{filename} is not {encoding} text (about line {line:,}: {exc}); "
                    'save it as UTF-8, or name its encoding, such as {"kind": ..., "encoding": "cp1252"}',
                    code="encoding_invalid",
                    param="file",
                ) from exc
            if not block:
                return encoding
            if "\0" in text:
                raise InvalidError(
                    f"{filename} holds a zero byte and is no text; if it is UTF-16, say so with input.encoding",
                    code="encoding_invalid",
                    param="file",
                )
            lines += text.count("\n")


def _error_at(exc: UnicodeError) -> int:
    return exc.start if isinstance(exc, UnicodeDecodeError) else 0


def _first_row(path: Path, filename: str, encoding: str, delimiter: str | None) -> tuple[list[str], str]:
    encoding = "utf-8-sig" if encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else encoding
    with path.open(encoding=encoding, newline="") as stream:
        head = stream.read(_SNIFFED_BYTES)
    lines = iter(head.splitlines(keepends=True))
    sample = next((line for line in lines if line.strip()), "")
    delimiter = delimiter or max(_DELIMITERS, key=sample.count)
    if len(delimiter.encode()) != 1 or delimiter in '"\r\n':
        raise InvalidError(
            f"{delimiter!r} cannot be a delimiter; it is one ASCII character",
            code="delimiter_invalid",
            param="input.delimiter",
        )
    try:
        first = next((row for row in csv.reader(head.splitlines(keepends=True), delimiter=delimiter) if row), None)
    except csv.Error as exc:
        raise InvalidError(
            f"the first line of {filename} is no csv: {exc}", code="columns_invalid", param="file"
        ) from exc
    if first is None:
        raise InvalidError(f"{filename} has no rows", code="dataset_empty", param="file")
    return first, delimiter
