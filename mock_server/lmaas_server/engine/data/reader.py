"""From an uploaded file to Examples, whatever its format; imports no torch, so an upload never waits for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lmaas_server.engine.data import audio, audio_files, images, messages, plain_text, tables, tensors, texts
from lmaas_server.engine.data.archive import Archive, opened
from lmaas_server.engine.data.examples import Array, Examples, Json, ReadLimits
from lmaas_server.engine.data.kinds import KINDS
from lmaas_server.errors import InvalidError, ServiceError, UnsupportedError

ArchiveReader = Callable[[Archive, Json, str | None, ReadLimits], Examples]
FileReader = Callable[[Path, str, str, Json, Json, ReadLimits], Examples]
"""(path, filename, format, input, target, limits)"""

ARCHIVE_READERS: dict[tuple[str, str], ArchiveReader] = {
    ("npz", "audio"): audio_files.read_npz,
    ("npz", "tensor"): tensors.read,
    ("npz", "image"): images.read_npz,
    ("zip", "audio"): audio_files.read_zip,
    ("zip", "image"): images.read_zip,
}
FILE_READERS: dict[tuple[str, str], FileReader] = {
    ("csv", "table"): tables.read,
    ("csv", "text"): texts.read,
    ("jsonl", "messages"): lambda path, name, _, __, ___, limits: messages.read(path, name, limits),
    ("jsonl", "table"): tables.read,
    ("jsonl", "text"): texts.read,
    ("parquet", "table"): tables.read,
    ("parquet", "text"): texts.read,
    ("txt", "text"): lambda path, name, _, __, ___, limits: plain_text.read(path, name, limits),
}
_DEFAULT_KIND = {"txt": "text"}
_OF_LANGUAGE: dict[str, Callable[[Any], Any]] = {"messages": messages.preview, "running": plain_text.preview}
_ZIP_MAGIC = b"PK"
_NPY_MAGIC = b"\x93NUMPY"
_PARQUET_MAGIC = b"PAR1"
_HEAD_BYTES = 64 << 10


def read_dataset(
    path: Path,
    *,
    filename: str | None = None,
    format: str | None = None,
    input: Json | None = None,
    target: Json | None = None,
    limits: ReadLimits,
    crcs: Sequence[tuple[int, int]] = (),
) -> Examples:
    """Read and check a whole file of examples.

    Args:
        path: where the bytes are.
        filename: what the caller calls the file; used in messages, and its ending where `format` is omitted.
        format: `npz`, `zip`, `csv`, `jsonl`, `parquet` or `txt`; omitted, told from the name, else from the first
            bytes.
        input: `{"kind": ...}` with the kind's own settings; omitted, told from what an archive holds, `text` for
            txt, and of files of columns `text` where a column is named so, `messages` for conversations, else `table`.
        target: `{"kind": ...}` and, of files of columns, `column` and `separator`; omitted, integers and strings are
            classes and floats are values.
        limits: what the file may unpack to.
        crcs: the CRC-32 of the file's first bytes, as (how many, checksum) in order, where it was taken on their way
            here: large arrays of an archive are then not read once more for it.

    Raises:
        ServiceError: with a stable code, naming the file, the array and the row.
    """
    name = filename or path.name
    if path.stat().st_size == 0:
        raise InvalidError(f"{name} is empty", code="dataset_empty", param="file")
    spec = dict(input or {})
    form = format or _told_format(name, _head(path))
    if any(form == known for known, _ in FILE_READERS):
        kind = spec.get("kind") or _DEFAULT_KIND.get(form) or _told_kind(path, name, form, spec, limits)
        _check_readable(form, kind)
        return FILE_READERS[form, kind](path, name, form, spec, dict(target or {}), limits)
    with opened(path, name, limits, crcs) as archive:
        if form == "zip" and format is None and _is_npz(archive):
            form = "npz"
        kind = spec.get("kind") or _kind_of_members(archive, form)
        _check_readable(form, kind)
        return ARCHIVE_READERS[form, kind](archive, spec, (target or {}).get("kind"), limits)


def rows_from_json(inputs: Array | Sequence[Any], input: Json) -> tuple[Array, dict[int, ServiceError]]:
    """Turn prediction inputs into one array, row by row where need be, and the errors of the rows that are bad."""
    return KINDS[input["kind"]].rows(inputs, input)


def preview(row: Array, input: Json) -> Any:
    """Return one row of inputs as JSON shows it."""
    own = _OF_LANGUAGE.get(input["kind"] if input["kind"] == messages.KIND else input.get("form", ""))
    return own(row) if own else KINDS[input["kind"]].preview(row, input)


def column_values(path: Path, *, filename: str, format: str, input: Json, column: str, limits: ReadLimits) -> list[str]:
    """Return one column of a file of columns as strings, missing ones empty: what to slice an evaluation by.

    Raises:
        InvalidError: `column_unknown`, the file has none of that name; `format_unsupported`, it has none at all.
    """
    if not any(format == known for known in ("csv", "jsonl", "parquet")):
        raise InvalidError(
            f"a file of format {format} has no columns to slice by; csv, jsonl and parquet have",
            code="format_unsupported",
            param="slice_by",
        )
    from lmaas_server.engine.data.cells import category_of
    from lmaas_server.engine.data.columns import cleaned
    from lmaas_server.engine.data.rowfiles import open_rows

    file = open_rows(path, filename, format, input, limits)
    if column not in file.names:
        raise InvalidError(
            f"the dataset has no column {column!r}; it has {', '.join(map(repr, file.names[:30]))}",
            code="column_unknown",
            param="slice_by",
        )
    cells = (cell for batch in file.batches() for cell in cleaned(batch[column]).to_pylist())
    return ["" if cell is None else category_of(cell) for cell in cells]


def _check_readable(form: str, kind: str) -> None:
    kinds = [k for f, k in (*ARCHIVE_READERS, *FILE_READERS) if f == form]
    if not kinds:
        known = sorted({f for f, _ in (*ARCHIVE_READERS, *FILE_READERS)})
        raise UnsupportedError(
            f"files of format {form} are not read; {', '.join(known)} are", code="format_unsupported", param="format"
        )
    if kind not in kinds:
        raise UnsupportedError(
            f"a file of format {form} holds no inputs of kind {kind}; it may hold {', '.join(kinds)}",
            code="format_unsupported",
            param="input.kind",
        )


def _told_kind(path: Path, name: str, form: str, spec: Json, limits: ReadLimits) -> str:
    """Tell what a file of columns holds by their names, or by there being a single column of text beside the target."""
    if form == "jsonl" and messages.looks_like(_head(path)):
        return messages.KIND
    from lmaas_server.engine.data.rowfiles import open_rows

    names = open_rows(path, name, form, spec, limits).names
    return texts.KIND if any(column.lower() in texts.NAMES[:4] for column in names) else tables.KIND


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD_BYTES)


def _told_format(name: str, head: bytes) -> str:
    ending = name.rsplit(".", 1)[-1].lower() if "." in name else ""
    if head.startswith(_NPY_MAGIC):
        raise UnsupportedError(
            f"{name} is a single array; save inputs and targets as np.savez(file, x=..., y=...)",
            code="format_unknown",
            param="file",
        )
    if ending in {"npz", "zip", "csv", "jsonl", "parquet", "txt"}:
        return ending
    if head.startswith(_ZIP_MAGIC):
        return "zip"
    if head.startswith(_PARQUET_MAGIC):
        return "parquet"
    raise UnsupportedError(
        f"the format of {name} cannot be told from its name or first bytes; name it with format=",
        code="format_unknown",
        param="format",
    )


def _kind_of_members(archive: Archive, form: str) -> str:
    """Tell sound by the names of what an archive holds; other zips hold pictures, other npz tensors."""
    names = [info.filename.lower() for info in archive.members]
    if form == "zip":
        return audio.KIND if any(name.endswith(".wav") for name in names) else images.KIND
    return audio.KIND if {"audio.npy", "offset.npy"} <= set(names) else tensors.KIND


def _is_npz(archive: Archive) -> bool:
    return bool(archive.members) and all(info.filename.endswith(".npy") for info in archive.members)
