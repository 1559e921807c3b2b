"""Zip archives read as if an enemy had packed them: names checked, sizes counted and never believed. Knows no rows.

The size an archive states is a claim. Every member is streamed through a counter that stops at its own claim and at
the limit for the whole, so a bomb is found after the bytes it was allowed and not after those it holds.
"""

from __future__ import annotations

import copy
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

from lmaas_server.engine.data.examples import ReadLimits
from lmaas_server.errors import InvalidError, TooLargeError, UnsupportedError

DEFLATE_BEST_RATIO = 1032
"""No deflate stream grows by more (zlib's technical notes): a claim above it cannot be true."""

_CHUNK = 1 << 20
_ENCRYPTED = 0x1
_LENGTHS_AT = 26
"""Of name and extra field in a member's own header, the last of its fixed fields (PKWARE's APPNOTE, 4.3.7)."""
_DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    OverflowError,
    NotImplementedError,
    RuntimeError,
)


@contextmanager
def opened(path: Path, filename: str, limits: ReadLimits, crcs: Sequence[tuple[int, int]] = ()) -> Iterator[Archive]:
    """Open the archive at `path`; whatever zipfile finds wrong with it becomes `dataset_truncated`, naming the file."""
    with damage_named(filename), zipfile.ZipFile(path) as file:
        yield Archive(file, filename, limits, crcs)


@contextmanager
def damage_named(place: str) -> Iterator[None]:
    """Turn what the standard library raises on broken archives into an InvalidError that names `place`."""
    try:
        yield
    except _DAMAGE as exc:
        raise InvalidError(
            f"{place} is truncated or damaged ({exc or type(exc).__name__}); send the whole file again",
            code="dataset_truncated",
            param="file",
        ) from exc


class Archive:
    """An open archive whose members are read under one budget of unpacked bytes."""

    def __init__(
        self, file: zipfile.ZipFile, filename: str, limits: ReadLimits, crcs: Sequence[tuple[int, int]] = ()
    ) -> None:
        self._file = file
        self._left = limits.max_unpacked_bytes
        self.filename = filename
        self.path = Path(file.filename or filename)
        """Where the bytes are."""
        self.limits = limits
        self.crcs = crcs
        """What is known already of the file's checksum so far, as `crc_of` takes it."""
        self.members = [info for info in file.infolist() if _checked(info, filename) and not info.is_dir()]

    def __repr__(self) -> str:
        return f"Archive({self.filename!r}, {len(self.members)} members, {self._left} bytes left)"

    def spend(self, count: int, what: str) -> None:
        """Take `count` bytes from the budget before they are allocated."""
        self._left -= count
        if self._left < 0:
            raise TooLargeError(
                f"{what} would take {self.filename} over the {self.limits.max_unpacked_bytes:,} bytes "
                "an upload may unpack to; split the file",
                code="archive_too_large",
                param="file",
            )

    def open(self, info: zipfile.ZipInfo) -> Member:
        """Open one member for counted reading."""
        unbounded = copy.copy(info)
        # zipfile silently cuts a member at the size it states; told a size it never reaches, it hands over what is
        # really there, and Member compares.
        unbounded.file_size = 1 << 62
        return Member(self._file.open(unbounded), info, f"{info.filename} in {self.filename}")

    def begin_of(self, info: zipfile.ZipInfo) -> int:
        """Return where in the file the bytes of an opened member begin; of a stored one they lie there as they are."""
        with self.path.open("rb") as file:
            file.seek(info.header_offset + _LENGTHS_AT)
            name, extra = struct.unpack("<HH", file.read(4))
        return int(info.header_offset + _LENGTHS_AT + 4 + name + extra)

    def read(self, info: zipfile.ZipInfo) -> bytes:
        """Read one member whole, its bytes taken from the budget as they come."""
        parts = io.BytesIO()
        with self.open(info) as member:
            while chunk := member.read(_CHUNK):
                self.spend(len(chunk), member.place)
                parts.write(chunk)
        return parts.getvalue()


class Member:
    """One member being read: refuses to yield more than it stated."""

    def __init__(self, stream: IO[bytes], info: zipfile.ZipInfo, place: str) -> None:
        self._stream = stream
        self._stated = info.file_size
        self.count = 0
        self.place = place

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def __repr__(self) -> str:
        return f"Member({self.place!r}, {self.count} of {self._stated} bytes)"

    def read(self, count: int) -> bytes:
        """Read up to `count` bytes; empty at the end."""
        data = self._stream.read(count)
        self.count += len(data)
        if self.count > self._stated:
            raise InvalidError(
                f"{self.place} unpacks to more than the {self._stated:,} bytes it states; pack the archive again",
                code="archive_bomb",
                param="file",
            )
        return data


def could_hold(info: zipfile.ZipInfo) -> int:
    """Return the most bytes that the packed bytes of this member can unpack to."""
    ratio = DEFLATE_BEST_RATIO if info.compress_type == zipfile.ZIP_DEFLATED else 1
    return min(info.file_size, info.compress_size * ratio)


def _checked(info: zipfile.ZipInfo, filename: str) -> bool:
    name = info.filename
    parts = name.replace("\\", "/").split("/")
    link = stat.S_ISLNK(info.external_attr >> 16)
    if link or ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0]:
        raise InvalidError(
            f"{filename} holds {name!r}, which leaves the archive; members must be plain files with relative paths",
            code="archive_escapes",
            param="file",
        )
    if info.flag_bits & _ENCRYPTED:
        raise UnsupportedError(
            f"{name!r} in {filename} is encrypted; send it unencrypted", code="archive_encrypted", param="file"
        )
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise UnsupportedError(
            f"{name!r} in {filename} is packed with method {info.compress_type}; use deflate or store",
            code="archive_method",
            param="file",
        )
    return True
