"""Files of named columns - csv, jsonl, parquet - as batches of a bounded size; knows no types, no targets, no torch.

Whatever the format, a cell is a string, a float, a point in time (seconds as a float), a list of strings, or missing,
and every column of a batch is one pyarrow array of one of those types. A file is read as often as its batches are
asked for, so nobody needs to hold it.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from lmaas_server.engine.data.cells import as_string, cell_of
from lmaas_server.engine.data.examples import Json, ReadLimits
from lmaas_server.errors import InvalidError, TooLargeError

MAX_COLUMNS = 4096
BLOCK_BYTES = 4 << 20
"""Of a csv that is parsed at once; also the longest row."""
BATCH_ROWS = 8192
_DELIMITERS = ",\t;|"
_SNIFFED_BYTES = 64 << 10

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


def open_rows(path: Path, filename: str, form: str, spec: Json, limits: ReadLimits) -> RowFile:
    """Open a csv, jsonl or parquet file; `spec` may hold `encoding`, `delimiter` and `header` for a csv.

    Raises:
        InvalidError: `encoding_unknown`, `encoding_invalid`, `row_ragged`, `row_invalid`, `columns_invalid`,
            `dataset_truncated`, `dataset_empty`; naming the row.
    """
    return _OPENERS[form](path, filename, spec, limits)


def place(row: int) -> str:
    """Return how messages name a row: counted from 0 without the header, as `GET .../rows` counts."""
    return f"row {row:,}"


def _open_csv(path: Path, filename: str, spec: Json, _: ReadLimits) -> RowFile:
    encoding = _check_encoding(path, filename, spec.get("encoding") or "utf-8")
    first, delimiter = _first_row(path, filename, encoding, spec.get("delimiter"))
    header = spec.get("header", True)
    names = tuple(name.strip() for name in first) if header else tuple(f"column_{i + 1}" for i in range(len(first)))
    _check_names(names, filename)

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


def _check_names(names: tuple[str, ...], filename: str) -> None:
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


def _open_jsonl(path: Path, filename: str, _: Json, __: ReadLimits) -> RowFile:
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


def _open_parquet(path: Path, filename: str, _: Json, limits: ReadLimits) -> RowFile:
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
    _check_names(names, filename)

    def batches() -> Iterator[Batch]:
        with _damage(filename), pyarrow.parquet.ParquetFile(path, memory_map=True) as file:
            for batch in file.iter_batches(batch_size=rows, use_threads=False):
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


_OPENERS: dict[str, Callable[[Path, str, Json, ReadLimits], RowFile]] = {
    "csv": _open_csv,
    "jsonl": _open_jsonl,
    "parquet": _open_parquet,
}
