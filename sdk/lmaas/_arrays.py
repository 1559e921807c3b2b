"""Arrays of any library as .npy and .npz bytes, without importing one; knows nothing of what they mean.

An array is taken by what it shows: `.detach()` (torch), `.to_numpy()` (pandas, polars), `__array_interface__` and the
buffer protocol (numpy and friends), `__array__` (the rest), or nested lists of numbers or strings.
Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, version 1.0.
"""

from __future__ import annotations

import io
import sys
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeGuard, cast

from lmaas.errors import InvalidRequestError

NUMBER_KINDS = frozenset("biuf")
_MAGIC = b"\x93NUMPY\x01\x00"
_ALIGNMENT = 64
_BUFFER_CODES = {"?": "|b1", "b": "|i1", "B": "|u1", "e": "<f2", "f": "<f4", "d": "<f8"}
_INTEGER_CODES = {"h": "i", "H": "u", "i": "i", "I": "u", "l": "i", "L": "u", "q": "i", "Q": "u"}
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Array:
    """Values in C order with their shape and numpy's type string, such as `<f4`."""

    shape: tuple[int, ...]
    typestr: str
    data: bytes | memoryview = field(repr=False)

    @property
    def kind(self) -> str:
        """The letter of the kind: b, i, u, f for numbers, U for strings."""
        return self.typestr[1]

    def npy(self) -> bytes:
        """Return the array as a .npy file."""
        header = f"{{'descr': {self.typestr!r}, 'fortran_order': False, 'shape': {self.shape!r}, }}"
        room = len(_MAGIC) + 2
        header += " " * (-(room + len(header) + 1) % _ALIGNMENT) + "\n"
        return b"".join((_MAGIC, len(header).to_bytes(2, "little"), header.encode("latin-1"), self.data))


def npz(arrays: Mapping[str, Array]) -> bytes:
    """Return the arrays as an .npz file: stored, and the same bytes for the same arrays."""
    import zipfile

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, values in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), values.npy())
    return file.getvalue()


def as_array(value: Any, name: str = "inputs") -> Array | None:
    """Return any library's array, tensor, series or frame as an `Array`; None if it is no such thing.

    Raises:
        InvalidRequestError: It is one, of values that no file can hold (objects, dates); `name` names it.
    """
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = _from_tensor(value)
    elif hasattr(value, "to_numpy"):
        value = value.to_numpy()
    if not hasattr(value, "__array_interface__"):
        if isinstance(value, array | memoryview):
            return _from_buffer(memoryview(cast("memoryview", value)), name)
        if not hasattr(value, "__array__") or isinstance(value, str | bytes):
            return None
        value = value.__array__()
    shape, typestr = cast("tuple[tuple[int, ...], str]", _interface(value))
    if typestr[1] == "O":
        return from_nested(value.tolist(), name)
    if typestr[1] not in NUMBER_KINDS | {"U"}:
        raise InvalidRequestError(f"{name} holds values of type {typestr!r}; numbers or strings are needed", param=name)
    return Array(tuple(shape), typestr, _bytes_of(value))


def _interface(value: Any) -> tuple[Any, Any]:
    interface = value.__array_interface__
    return interface["shape"], interface["typestr"]


def _bytes_of(value: Any) -> bytes | memoryview:
    """Return the values in C order; without a copy where they lie so."""
    view = memoryview(value)
    if view.c_contiguous and view.nbytes and view.ndim:
        try:
            return view.cast("B")
        except (TypeError, ValueError):
            pass  # formats memoryview does not know, such as numpy's strings
    return view.tobytes("C")


def _from_tensor(tensor: Any) -> Any:
    values = tensor.detach().cpu()
    try:
        return values.numpy()
    except TypeError:  # bfloat16, which numpy does not have
        return values.float().numpy()


def _from_buffer(view: memoryview, name: str) -> Array:
    code = view.format.lstrip("@=<") or "B"
    typestr = _BUFFER_CODES.get(code)
    if typestr is None and code in _INTEGER_CODES:
        typestr = f"<{_INTEGER_CODES[code]}{view.itemsize}"
    if typestr is None:
        raise InvalidRequestError(f"{name} holds values of format {view.format!r}; numbers are needed", param=name)
    return Array(view.shape or (len(view),), typestr, view.tobytes("C"))


def from_nested(rows: Sequence[Any], name: str = "inputs") -> Array:
    """Return nested lists of numbers, or of strings, as an array.

    Raises:
        InvalidRequestError: They are ragged, empty, or of mixed kinds; the place is named.
    """
    shape = _shape_of(rows)
    flat = _flattened(rows, shape, (), name)
    if not flat:
        raise InvalidRequestError(f"{name} is empty", param=name)
    kinds = {_kind_of(value) for value in flat}
    if kinds == {"str"}:
        width = max(1, *(len(value) for value in flat)) if len(flat) > 1 else max(1, len(flat[0]))
        return Array(shape, f"<U{width}", b"".join(text.encode("utf-32-le").ljust(4 * width, b"\0") for text in flat))
    if kinds == {"bool"}:
        return Array(shape, "|b1", bytes(flat))
    try:
        if kinds == {"int"}:
            return Array(shape, "<i8", _little(array("q", flat)))
        if kinds <= {"int", "float", "bool"}:
            return Array(shape, "<f8", _little(array("d", map(float, flat))))
    except OverflowError as exc:
        raise InvalidRequestError(f"{name} holds a whole number beyond 64 bits", param=name) from exc
    raise InvalidRequestError(
        f"{name} must hold numbers only, or strings only; it holds {', '.join(sorted(kinds))}", param=name
    )


def _little(values: array[Any]) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _kind_of(value: Any) -> str:
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind.__name__
    return type(value).__name__


def plain(value: Any) -> Any:
    """Return a scalar of numpy or torch as Python's own; anything else as it is."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "ndim", None) == 0 else value


def is_rows(value: Any) -> TypeGuard[Sequence[Any]]:
    """Return whether it is a sequence of parts, which a string is not."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _listed(value: Any) -> Any:
    """Return an array inside a list as nested lists, a scalar as Python's own."""
    value = plain(value)
    return value.tolist() if hasattr(value, "tolist") and not is_rows(value) else value


def _shape_of(rows: Any) -> tuple[int, ...]:
    shape: list[int] = []
    level = _listed(rows)
    while is_rows(level):
        shape.append(len(level))
        if not level:
            break
        level = _listed(level[0])
    return tuple(shape)


def _flattened(level: Any, shape: tuple[int, ...], place: tuple[int, ...], name: str) -> list[Any]:
    """Return the values in C order, having checked that each row has the shape of the first."""
    level = _listed(level)
    if not shape:
        if is_rows(level):
            raise _ragged(name, place, "a list", "a single value")
        return [level]
    if not is_rows(level):
        raise _ragged(name, place, f"{level!r}", f"a list of {shape[0]}")
    if len(level) != shape[0]:
        raise _ragged(name, place, f"{len(level)} values", f"{shape[0]}")
    if len(shape) == 1 and all(type(value) in {int, float, str, bool} for value in level):
        return list(level)
    parts = (_flattened(value, shape[1:], (*place, index), name) for index, value in enumerate(level))
    return list(chain.from_iterable(parts))


def _ragged(name: str, place: tuple[int, ...], found: str, first: str) -> InvalidRequestError:
    where = "".join(f"[{index}]" for index in place)
    return InvalidRequestError(f"{name}{where} has {found} where the first row has {first}", param=f"{name}{where}")


def rows_of(values: Array) -> int:
    """Return the length of the first axis."""
    return values.shape[0] if values.shape else 0
