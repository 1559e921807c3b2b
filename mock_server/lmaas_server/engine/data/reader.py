"""From an uploaded file to Examples, whatever its format; imports no torch, so an upload never waits for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lmaas_server.engine.data import images, tensors
from lmaas_server.engine.data.archive import Archive, opened
from lmaas_server.engine.data.examples import Array, Examples, Json, ReadLimits
from lmaas_server.errors import InvalidError, ServiceError, UnsupportedError

Reader = Callable[[Archive, Json, str | None, ReadLimits], Examples]

READERS: dict[tuple[str, str], Reader] = {
    ("npz", "tensor"): tensors.read,
    ("npz", "image"): images.read_npz,
    ("zip", "image"): images.read_zip,
}
_DEFAULT_KIND = {"npz": "tensor", "zip": "image"}
_ROWS = {"tensor": tensors.rows, "image": images.rows}
_PREVIEWS: dict[str, Callable[[Array], Any]] = {"tensor": tensors.preview, "image": images.preview}
_ZIP_MAGIC = b"PK"
_NPY_MAGIC = b"\x93NUMPY"


def read_dataset(
    path: Path,
    *,
    filename: str | None = None,
    format: str | None = None,
    input: Json | None = None,
    target: Json | None = None,
    limits: ReadLimits,
) -> Examples:
    """Read and check a whole file of examples.

    Args:
        path: where the bytes are.
        filename: what the caller calls the file; used in messages, and its ending where `format` is omitted.
        format: `npz` or `zip`; omitted, told from the name, else from what the archive holds.
        input: `{"kind": ...}` with the kind's own settings; omitted, `tensor` for npz and `image` for zip.
        target: `{"kind": ...}`; omitted, integers and strings are classes and floats are values.
        limits: what the file may unpack to.

    Raises:
        ServiceError: with a stable code, naming the file, the array and the row.
    """
    name = filename or path.name
    if path.stat().st_size == 0:
        raise InvalidError(f"{name} is empty", code="dataset_empty", param="file")
    spec = dict(input or {})
    form = format or _told_format(name, _head(path))
    if form not in _DEFAULT_KIND:
        raise UnsupportedError(
            f"files of format {form} are not read; {', '.join(sorted(_DEFAULT_KIND))} are",
            code="format_unsupported",
            param="format",
        )
    with opened(path, name, limits) as archive:
        if form == "zip" and format is None and _is_npz(archive):
            form = "npz"
        kind = spec.get("kind") or _DEFAULT_KIND[form]
        if (form, kind) not in READERS:
            raise UnsupportedError(
                f"a file of format {form} holds no inputs of kind {kind}; "
                f"it may hold {', '.join(k for f, k in READERS if f == form)}",
                code="format_unsupported",
                param="input.kind",
            )
        return READERS[form, kind](archive, spec, (target or {}).get("kind"), limits)


def rows_from_json(inputs: Array | Sequence[Any], input: Json) -> tuple[Array, dict[int, ServiceError]]:
    """Turn prediction inputs into one array, row by row where need be, and the errors of the rows that are bad."""
    return _ROWS[input["kind"]](inputs, input)


def preview(row: Array, input: Json) -> Any:
    """Return one row of inputs as JSON shows it."""
    return _PREVIEWS[input["kind"]](row)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(6)


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
    raise UnsupportedError(
        f"the format of {name} cannot be told from its name or first bytes; name it with format=",
        code="format_unknown",
        param="format",
    )


def _is_npz(archive: Archive) -> bool:
    return bool(archive.members) and all(info.filename.endswith(".npy") for info in archive.members)
