"""Arrays out of npz archives without trusting them: no pickles, nothing allocated on a header's word. Knows no rows.

numpy's own loader allocates what the header claims before it reads a byte; here the claim is first held against what
the packed bytes could possibly hold and against the budget of the upload.
"""

from __future__ import annotations

import io
import math
import zipfile
from typing import Any

import numpy as np

from lmaas_server.engine.data.archive import Archive, Member, could_hold
from lmaas_server.engine.data.examples import Array
from lmaas_server.errors import InvalidError, UnsupportedError

_CHUNK = 1 << 20
_MAX_HEADER = 16_384
_PREAMBLE = 8
"""Magic and version (numpy's NEP 1)."""
_NUMBERS = "biuf"
_TEXTS = "US"


def read_npz(archive: Archive, names: tuple[str, ...]) -> dict[str, Array]:
    """Read the arrays of the given names; absent ones are left out, others beside them are refused."""
    members = {info.filename.removesuffix(".npy"): info for info in archive.members}
    if unknown := sorted(set(members) - set(names)):
        raise InvalidError(
            f"{archive.filename} holds {', '.join(map(repr, unknown[:5]))}; expected arrays named x (inputs) "
            "and y (targets), as np.savez(file, x=..., y=...) writes them",
            code="array_unknown",
            param=unknown[0],
        )
    return {name: _read_array(archive, members[name], name) for name in names if name in members}


def _read_array(archive: Archive, info: zipfile.ZipInfo, name: str) -> Array:
    with archive.open(info) as member:
        shape, fortran, dtype = _read_header(member, name)
        _check_dtype(dtype, name, archive.filename)
        size = math.prod(shape) * dtype.itemsize
        if size > could_hold(info):
            raise InvalidError(
                f"array {name} in {archive.filename} claims shape {shape} of {dtype} ({size:,} bytes), more than its "
                f"{info.compress_size:,} packed bytes can hold; the file is truncated or its header wrong",
                code="dataset_truncated",
                param=name,
            )
        archive.spend(size, f"array {name} of shape {shape}")
        flat = np.empty(size, dtype=np.uint8)
        _fill(member, flat, name)
    array = flat.view(dtype).reshape(shape[::-1] if fortran else shape) if size else np.empty(shape, dtype)
    return array.T if fortran else array


def _read_header(member: Member, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    head = member.read(_PREAMBLE)
    if head[:6] != b"\x93NUMPY" or len(head) < _PREAMBLE:
        raise InvalidError(f"array {name} is not in npy format", code="dataset_truncated", param=name)
    width = {1: 2, 2: 4}.get(head[6])
    if width is None:
        raise UnsupportedError(
            f"array {name} has npy version {head[6]}; versions 1 and 2 are read", code="npy_version", param=name
        )
    length_bytes = member.read(width)
    length = int.from_bytes(length_bytes, "little")
    if length > _MAX_HEADER:
        raise InvalidError(f"array {name} has an npy header of {length:,} bytes", code="dataset_truncated", param=name)
    stream = io.BytesIO(length_bytes + member.read(length))
    read = np.lib.format.read_array_header_1_0 if head[6] == 1 else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(stream, max_header_size=_MAX_HEADER)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, AttributeError, LookupError) as exc:
        raise InvalidError(f"array {name} has a damaged npy header", code="dataset_truncated", param=name) from exc
    if any(isinstance(size, bool) or size < 0 for size in shape):
        raise InvalidError(f"array {name} claims shape {shape}", code="dataset_truncated", param=name)
    return shape, fortran, dtype


def _check_dtype(dtype: np.dtype[Any], name: str, filename: str) -> None:
    if dtype.hasobject:
        raise InvalidError(
            f"array {name} in {filename} holds Python objects, which are never unpickled; save numbers "
            "(or for y strings of a fixed width, as np.array([...], dtype=str) makes them)",
            code="object_array",
            param=name,
        )
    if dtype.kind not in _NUMBERS + _TEXTS or dtype.itemsize == 0 or dtype.shape:
        raise InvalidError(
            f"array {name} in {filename} is of {dtype}; expected plain numbers or strings",
            code="dtype_unsupported",
            param=name,
        )


def _fill(member: Member, flat: Array, name: str) -> None:
    at = 0
    while chunk := member.read(_CHUNK):
        if at + len(chunk) > len(flat):
            raise InvalidError(f"array {name} holds more than its header says", code="archive_bomb", param=name)
        flat[at : at + len(chunk)] = np.frombuffer(chunk, dtype=np.uint8)
        at += len(chunk)
    if at < len(flat):
        raise InvalidError(
            f"array {name} ends after {at:,} of {len(flat):,} bytes; send the whole file again",
            code="dataset_truncated",
            param=name,
        )
