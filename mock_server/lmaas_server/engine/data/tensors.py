"""Rows of numbers of one fixed shape: read from npz arrays and from JSON. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lmaas_server.engine.data.archive import Archive
from lmaas_server.engine.data.examples import Array, Examples, Json, ReadLimits
from lmaas_server.engine.data.npy import read_npz
from lmaas_server.engine.data.spill import room_for
from lmaas_server.engine.data.targets import read_targets
from lmaas_server.errors import InvalidError, ServiceError, TooLargeError

KIND = "tensor"
_NUMBERS = "iuf"
_CHUNK_NUMBERS = 1 << 22


def read_arrays(archive: Archive, target: str | None, limits: ReadLimits) -> tuple[Array, Array | None, Json]:
    """Read x and y of an npz; checks that both are there, as long as each other, and not empty."""
    arrays = read_npz(archive, ("x", "y"))
    if "x" not in arrays:
        raise InvalidError(
            f"{archive.filename} has no array x; save the inputs as np.savez(file, x=..., y=...)",
            code="array_missing",
            param="x",
        )
    x, y = arrays["x"], arrays.get("y")
    if x.dtype.kind not in _NUMBERS + "b":
        raise InvalidError(f"inputs must be numbers; x is {x.dtype}", code="dtype_unsupported", param="x")
    if x.ndim == 0 or len(x) == 0:
        raise InvalidError(f"{archive.filename} has no rows: x has shape {x.shape}", code="dataset_empty", param="x")
    if y is not None and (y.ndim == 0 or len(x) != len(y)):
        raise InvalidError(
            f"x has {len(x):,} rows and y has {len(y) if y.ndim else 'shape ()'}; each row of x needs one of y",
            code="rows_mismatch",
            param="y",
        )
    if limits.max_rows is not None and len(x) > limits.max_rows:
        raise TooLargeError(
            f"{archive.filename} has {len(x):,} rows; at most {limits.max_rows:,} are taken",
            code="too_many_rows",
            param="x",
        )
    targets, described = read_targets(y, target)
    return x, targets, described


def read(archive: Archive, spec: Json, target: str | None, limits: ReadLimits) -> Examples:
    """Read an npz of tensors: uint8 stays as it is, every other number becomes float32."""
    x, targets, described = read_arrays(archive, target, limits)
    if x.ndim == 1:
        x = x[:, None]  # one number per row
    if 0 in x.shape[1:]:
        raise InvalidError(f"the rows of x are empty: its shape is {x.shape}", code="input_empty", param="x")
    inputs = _laid_out(x, archive, limits)
    bad = unfinite_rows(inputs)
    if len(bad):
        row = int(bad[0])
        raise InvalidError(
            f"x row {row} holds NaN, infinity or a number beyond float32 ({len(bad):,} such rows); "
            "every input must be finite",
            code="not_finite",
            param=f"x[{row}]",
        )
    return Examples(
        inputs=inputs,
        targets=targets,
        format="npz",
        input={
            "kind": KIND,
            "shape": list(inputs.shape[1:]),
            "dtype": str(x.dtype.newbyteorder("=")),
            "normalize": spec.get("normalize", "auto"),
        },
        target=described,
    )


def _laid_out(x: Array, archive: Archive, limits: ReadLimits) -> Array:
    """Return uint8 or float32, one row after the other; a large array that is not so is written into a file."""
    dtype = np.uint8 if x.dtype == np.uint8 else np.float32
    if x.size * np.dtype(dtype).itemsize <= limits.max_memory_bytes or (x.dtype == dtype and x.flags.c_contiguous):
        return np.ascontiguousarray(x if dtype is np.uint8 else as_floats(x))
    laid = room_for(x.shape, dtype, limits, near=archive.path)
    step = max(1, _CHUNK_NUMBERS // x[0].size)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(x), step):
            laid[start : start + step] = x[start : start + step]
    return laid


def as_floats(x: Array) -> Array:
    """Return float32, letting what overflows become infinite for the check that follows."""
    with np.errstate(over="ignore", invalid="ignore"):
        return x.astype(np.float32, copy=False)


def unfinite_rows(inputs: Array) -> Array:
    """Return the indices of rows that hold NaN or infinity, found without a copy of the whole."""
    if inputs.dtype == np.uint8:
        return np.empty(0, dtype=np.int64)
    step = max(1, _CHUNK_NUMBERS // inputs[0].size)
    axes = tuple(range(1, inputs.ndim))
    found = [
        start + np.flatnonzero(~np.isfinite(inputs[start : start + step]).all(axis=axes))
        for start in range(0, len(inputs), step)
    ]
    return np.concatenate(found)


def rows(inputs: Array | Sequence[Any], description: Json) -> tuple[Array, dict[int, ServiceError]]:
    """Turn prediction inputs into float32 rows; a bad row is zero in the array and named in the errors."""
    shape = tuple(description["shape"])
    errors: dict[int, ServiceError] = {}
    whole = _as_array(inputs)
    if whole is not None and whole.ndim and whole.dtype.kind in _NUMBERS and _fits(whole.shape[1:], shape):
        array = as_floats(whole).reshape(len(whole), *shape)
    else:
        array = _row_by_row(inputs, shape, errors)
    if np.isfinite(array).all():
        return array, errors
    array = array.copy()  # the caller's own array may lie beneath
    for index in unfinite_rows(array).tolist():
        array[index] = 0
        errors[index] = InvalidError(
            f"row {index} holds NaN, infinity or a number beyond float32; every input must be finite",
            code="not_finite",
            param=f"inputs[{index}]",
        )
    return array, errors


def preview(row: Array) -> Any:
    """Return one row as JSON shows it."""
    return row.tolist()


def _row_by_row(inputs: Array | Sequence[Any], shape: tuple[int, ...], errors: dict[int, ServiceError]) -> Array:
    array = np.zeros((len(inputs), *shape), dtype=np.float32)
    for index, value in enumerate(inputs):
        row = _as_array(value)
        if row is None or row.dtype.kind not in _NUMBERS:
            errors[index] = InvalidError(
                f"row {index} is not an array of numbers of shape {shape}",
                code="input_invalid",
                param=f"inputs[{index}]",
            )
        elif not _fits(row.shape, shape):
            errors[index] = InvalidError(
                f"row {index} has shape {row.shape}; the model takes rows of shape {shape}",
                code="shape_mismatch",
                param=f"inputs[{index}]",
            )
        else:
            array[index] = as_floats(row).reshape(shape)
    return array


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return shape == wanted or (shape == () and wanted == (1,))


def _as_array(value: Any) -> Array | None:
    try:
        return np.asarray(value)
    except (ValueError, TypeError, OverflowError):
        return None
