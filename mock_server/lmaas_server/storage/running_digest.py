"""The checksum of a file that arrives in parts, taken as far as there is no gap while the rest is coming.

So the end of an upload waits for its last parts only. On the way it tells whether a part that came with the checksum
of the file so far is what it said. One process per file: who has it is told by a lock on the file. Knows no upload and
no HTTP.
"""

from __future__ import annotations

import fcntl
import os
import threading
import zlib
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from lmaas_server.storage.part_marks import Mark

__all__ = ["RunningDigest"]

_ARCHIVE = b"PK"
"""How a zip begins, and so an npz."""
_BLOCK = 1 << 22
"""Bytes read at a time, into the same memory. After each step on a block this thread asks for the interpreter again,
and waits while those that receive parts have it: larger blocks ask less often, and cost more in a core's cache."""


class RunningDigest:
    """How far one file's checksum has come."""

    def __init__(self, path: Path, part_bytes: int, wrong: Callable[[int, Mark], None], *, alone: bool = True) -> None:
        """Open the file.

        Args:
            path: Where it is.
            part_bytes: Of every part but the last.
            wrong: Told of each part that is not what its mark says; what follows it waits for another.
            alone: Whether to keep other processes from following the file too.

        Raises:
            BlockingIOError: Another process follows it.
        """
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if alone:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise
        self.path = path
        self._part_bytes = part_bytes
        self._wrong = wrong
        self._digest = sha256()
        self._seen: list[Mark] = []
        self._crcs: list[tuple[int, int]] = []
        self._busy = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"RunningDigest({str(self.path)!r}, {len(self._seen)} parts)"

    def advance(self, mark_of: Callable[[int], Mark | None]) -> int | None:
        """Take in the parts that follow and are here; returns at once while another thread does so.

        Returns the number of a part that was not what its mark says, if one was met.
        """
        if not self._busy.acquire(blocking=False):
            return None
        try:
            while not self._closed and (mark := mark_of(len(self._seen) + 1)) is not None:
                if not self._take(mark):
                    return len(self._seen) + 1
        finally:
            self._busy.release()
        return None

    def whole(self, marks: Mapping[int, Mark]) -> str | None:
        """Return the checksum of the whole, all of whose parts are here.

        None if a part is another by now than the one that was taken in, or is not what its mark says.
        """
        with self._busy:
            if self._closed or any(marks.get(number) != mark for number, mark in enumerate(self._seen, start=1)):
                return None
            while len(self._seen) < len(marks):
                if not self._take(marks[len(self._seen) + 1]):
                    return None
            return str(self._digest.hexdigest())

    @property
    def crcs(self) -> list[tuple[int, int]]:
        """The CRC-32 of the file up to the end of each part that was taken in, as (bytes, checksum).

        Of an archive only: it states that of each thing it holds, for which its reader would read all of it again.
        """
        return self._crcs.copy()

    def close(self) -> None:
        """Let the file go."""
        with self._busy:
            if not self._closed:
                self._closed = True
                os.close(self._file)

    def _take(self, mark: Mark) -> bool:
        """Take in the part that follows, unless it is not what its mark says."""
        before = self._digest.copy() if mark.so_far else None
        at, crc = len(self._seen) * self._part_bytes, None
        if os.pread(self._file, len(_ARCHIVE), 0) == _ARCHIVE:
            crc = self._crcs[-1][1] if self._crcs else 0
        end, crc = _feed(self._digest, self._file, at, self._part_bytes, crc)
        if before is not None and self._digest.hexdigest() != mark.sha256:
            self._digest = before
            self._wrong(len(self._seen) + 1, mark)
            return False
        self._seen.append(mark)
        if crc is not None:
            self._crcs.append((end, crc))
        return True


def _feed(digest: Any, file: int, at: int, size: int, crc: int | None) -> tuple[int, int | None]:
    """Take in up to `size` bytes; return where they end, and `crc` taken on over them unless it is None."""
    block, end = memoryview(bytearray(min(_BLOCK, size))), at + size
    while at < end and (count := os.preadv(file, [block[: end - at]], at)):
        digest.update(block[:count])
        if crc is not None:
            crc = zlib.crc32(block[:count], crc)
        at += count
    return at, crc
