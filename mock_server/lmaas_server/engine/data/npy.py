"""Arrays out of npz archives without trusting them: no pickles, nothing allocated on a header's word. Knows no rows.

numpy's own loader allocates what the header claims before it reads a byte; here the claim is first held against what
the packed bytes could possibly hold and against the budget of the upload. An array above `max_memory_bytes` is mapped:
a stored one where it lies in the archive, a packed one in a file of its own.
"""

from __future__ import annotations

import ast
import math
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from lmaas_server.engine.data.archive import Archive, Member, could_hold
from lmaas_server.engine.data.crc import crc_of
from lmaas_server.engine.data.examples import Array
from lmaas_server.engine.data.spill import room_for
from lmaas_server.errors import InvalidError, UnsupportedError

_CHUNK = 1 << 17
"""Small enough that the memory of one is the memory of the next, not new pages to be cleared."""
_MAX_HEADER = 16_384
_PREAMBLE = 8
"""Magic and version (numpy's NEP 1)."""
_MOST_AXES = 32
_PLAIN = re.compile(r"[<>|=]?([biuf]|[US](?=[1-9]))\d{1,9}")
"""Numbers, and strings that are not empty."""


def read_npz(archive: Archive, names: tuple[str, ...], *, others: bool = False) -> dict[str, Array]:
    """Read the arrays of the given names; absent ones are left out, others refused, or with `others` not read."""
    members = {info.filename.removesuffix(".npy"): info for info in archive.members}
    if (unknown := sorted(set(members) - set(names))) and not others:
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
        size = math.prod(shape) * dtype.itemsize
        if size > could_hold(info):
            raise InvalidError(
                f"array {name} in {archive.filename} claims shape {shape} of {dtype} ({size:,} bytes), more than its "
                f"{info.compress_size:,} packed bytes can hold; the file is truncated or its header wrong",
                code="dataset_truncated",
                param=name,
            )
        archive.spend(size, f"array {name} of shape {shape}")
        if size <= archive.limits.max_memory_bytes:
            flat = np.empty(size, dtype=np.uint8)
        elif info.compress_type == zipfile.ZIP_STORED:
            begin = archive.begin_of(info) + member.count
            _check(archive, info, member, size, name)
            # Copied on writing: what computes in place must not reach the file.
            flat = np.memmap(archive.path, dtype=np.uint8, mode="c", offset=begin, shape=(size,))
            return _laid_out(flat, shape, dtype, fortran=fortran)
        else:
            flat = room_for((size,), np.uint8, archive.limits, near=archive.path)
        _fill(member, flat, name)
    return _laid_out(flat, shape, dtype, fortran=fortran)


def _laid_out(flat: Array, shape: tuple[int, ...], dtype: np.dtype[Any], *, fortran: bool) -> Array:
    array = flat.view(dtype).reshape(shape[::-1] if fortran else shape) if len(flat) else np.empty(shape, dtype)
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
    return _parsed(member.read(length), name, member.place)


def _parsed(header: bytes, name: str, place: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read the header's dict literal; numpy's own reader also tries Python 2's dialect, and fails in more ways."""
    try:
        fields = ast.literal_eval(header.decode("latin-1")) if b"\\" not in header else None
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as exc:
        raise InvalidError(f"array {name} has a damaged npy header", code="dataset_truncated", param=name) from exc
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise InvalidError(f"array {name} has a damaged npy header", code="dataset_truncated", param=name)
    shape, fortran = fields["shape"], fields["fortran_order"]
    if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
        raise InvalidError(f"array {name} claims shape {shape!r}", code="dataset_truncated", param=name)
    if not isinstance(fortran, bool) or len(shape) > _MOST_AXES:
        raise InvalidError(f"array {name} has a damaged npy header", code="dataset_truncated", param=name)
    return shape, fortran, _dtype(fields["descr"], name, place)


def _dtype(described: object, name: str, place: str) -> np.dtype[Any]:
    if isinstance(described, str) and described.lstrip("<>|=").startswith("O"):
        raise InvalidError(
            f"{place} holds Python objects, which are never unpickled; save numbers "
            "(or for y strings of a fixed width, as np.array([...], dtype=str) makes them)",
            code="object_array",
            param=name,
        )
    try:
        if isinstance(described, str) and _PLAIN.fullmatch(described):
            return np.dtype(described)
    except (TypeError, ValueError):  # a width that does not exist
        pass
    raise InvalidError(
        f"{place} is of {str(described)[:80]!r}; expected plain numbers or strings",
        code="dtype_unsupported",
        param=name,
    )


def _fill(member: Member, flat: Array, name: str) -> None:
    for at, chunk in _chunks(member, len(flat), name):
        flat[at : at + len(chunk)] = np.frombuffer(chunk, dtype=np.uint8)


def _check(archive: Archive, info: zipfile.ZipInfo, member: Member, size: int, name: str) -> None:
    """Check that the rest of a stored member is an array of this size, and that its checksum is right."""
    _compare(info.compress_size - member.count, size, name)
    if info.compress_size != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename!r} is stored in {info.compress_size:,} bytes, not {info.file_size:,}")
    if crc_of(archive.path, archive.begin_of(info), info.file_size, archive.crcs) != info.CRC:
        raise zipfile.BadZipFile(f"Bad CRC-32 for file {info.filename!r}")  # in zipfile's words


def _chunks(member: Member, size: int, name: str) -> Iterator[tuple[int, bytes]]:
    """Yield the bytes of an array and where each chunk belongs; exactly `size` of them."""
    at = 0
    while chunk := member.read(_CHUNK):
        if at + len(chunk) > size:
            _compare(at + len(chunk), size, name)
        yield at, chunk
        at += len(chunk)
    _compare(at, size, name)


def _compare(found: int, size: int, name: str) -> None:
    """Refuse an array of another size than its header says."""
    if found > size:
        raise InvalidError(f"array {name} holds more than its header says", code="archive_bomb", param=name)
    if found < size:
        raise InvalidError(
            f"array {name} ends after {found:,} of {size:,} bytes; send the whole file again",
            code="dataset_truncated",
            param=name,
        )
