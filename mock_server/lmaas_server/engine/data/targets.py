"""Targets read from arrays: classes become indices into a sorted list of labels, values float32. Knows no inputs."""

from __future__ import annotations

import numpy as np

from lmaas_server.engine.data.examples import Array, Json
from lmaas_server.errors import InvalidError

_INTEGERS = "biu"
_LAST_CHARACTER, _SURROGATES = 0x10FFFF, 0xD800 >> 11


def read_targets(y: Array | None, kind: str | None) -> tuple[Array | None, Json]:
    """Return checked targets and their description; without `kind`, whole numbers and strings are classes."""
    if kind == "none" or (y is None and kind is None):
        return None, {"kind": "none"}
    if y is None:
        raise InvalidError(
            f"the target is {kind} and the file has no array y; add y, or say target kind none",
            code="array_missing",
            param="y",
        )
    if kind is None:
        kind = "value" if y.dtype.kind == "f" else "class"
    return _READERS[kind](y)


def _read_classes(y: Array) -> tuple[Array, Json]:
    if y.ndim != 1:
        raise InvalidError(
            f"class labels must be one per row, of shape (rows,); y has shape {y.shape}"
            + (" (for one-hot rows, send y.argmax(axis=1))" if y.ndim > 1 else ""),
            code="labels_invalid",
            param="y",
        )
    if y.dtype.kind == "f":
        raise InvalidError(
            f"class labels must be integers or strings; y is {y.dtype} (row 0: {y[0] if len(y) else '-'}). "
            "Convert it with y.astype(int), or say target kind value",
            code="labels_invalid",
            param="y",
        )
    if y.dtype.kind == "S":
        y = _decoded(y)
    if y.dtype.kind == "b":
        y = y.astype(np.int64)
    if y.dtype.kind == "U":
        _check_text(y)
    labels, indices = np.unique(y, return_inverse=True)
    return indices.astype(np.int64).reshape(-1), {"kind": "class", "classes": labels.tolist()}


def _check_text(y: Array) -> None:
    """Refuse code points that are no characters: numpy keeps any 32 bits, and fails on them where it compares."""
    points = np.ascontiguousarray(y).view(np.dtype(np.uint32).newbyteorder(y.dtype.byteorder))
    if ((points > _LAST_CHARACTER) | ((points >> 11) == _SURROGATES)).any():
        raise InvalidError("y holds strings that are not Unicode text", code="labels_invalid", param="y")


def _decoded(y: Array) -> Array:
    try:
        return np.char.decode(y, "utf-8")
    except UnicodeDecodeError as exc:
        raise InvalidError("y holds bytes that are not UTF-8", code="labels_invalid", param="y") from exc


def _read_values(y: Array) -> tuple[Array, Json]:
    if y.dtype.kind not in _INTEGERS + "f":
        raise InvalidError(
            f"values must be numbers; y is {y.dtype}. Say target kind class to learn labels",
            code="labels_invalid",
            param="y",
        )
    if y.ndim not in {1, 2} or 0 in y.shape[1:]:
        raise InvalidError(
            f"values must be of shape (rows,) or (rows, n); y has shape {y.shape}", code="labels_invalid", param="y"
        )
    with np.errstate(over="ignore"):
        values = y.astype(np.float32)
    bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise InvalidError(f"y row {row} is {y[row]}; values must be finite", code="not_finite", param=f"y[{row}]")
    return values, {"kind": "value", "shape": list(values.shape[1:])}


_READERS = {"class": _read_classes, "value": _read_values}
