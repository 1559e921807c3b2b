"""The checksum of a file that arrives in parts, taken as far as there is no gap while the rest is coming.

So the end of an upload waits for its last parts only. One process per file: who has it is told by a lock on the file.
Knows no upload and no HTTP.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

__all__ = ["RunningDigest", "digest_of"]

_BLOCK = 1 << 19
"""Bytes read at a time, into the same memory: half of what a core's cache holds, often enough."""


class RunningDigest:
    """How far one file's checksum has come."""

    def __init__(self, path: Path, part_bytes: int) -> None:
        """Open the file.

        Raises:
            BlockingIOError: Another process takes its checksum.
        """
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise
        self.path = path
        self._part_bytes = part_bytes
        self._digest = sha256()
        self._seen: list[str] = []
        self._busy = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"RunningDigest({str(self.path)!r}, {len(self._seen)} parts)"

    def advance(self, mark_of: Callable[[int], str | None]) -> None:
        """Take in the parts that follow and are here; returns at once while another thread does so."""
        if not self._busy.acquire(blocking=False):
            return
        try:
            while not self._closed and (mark := mark_of(len(self._seen) + 1)) is not None:
                _feed(self._digest, self._file, len(self._seen) * self._part_bytes, self._part_bytes)
                self._seen.append(mark)
        finally:
            self._busy.release()

    def whole(self, marks: Mapping[int, str]) -> str | None:
        """Return the checksum of the whole; None if a part is another by now than the one that was taken in."""
        with self._busy:
            if self._closed or any(marks.get(number) != mark for number, mark in enumerate(self._seen, start=1)):
                return None
            for number in range(len(self._seen) + 1, len(marks) + 1):
                _feed(self._digest, self._file, (number - 1) * self._part_bytes, self._part_bytes)
                self._seen.append(marks[number])
            return self._digest.hexdigest()

    def close(self) -> None:
        """Let the file go."""
        with self._busy:
            if not self._closed:
                self._closed = True
                os.close(self._file)


def digest_of(path: Path) -> str:
    """Return the checksum of a file that nobody has followed."""
    digest = sha256()
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _feed(digest, file, 0, os.fstat(file).st_size)
    finally:
        os.close(file)
    return digest.hexdigest()


def _feed(digest: Any, file: int, at: int, size: int) -> None:
    block, end = memoryview(bytearray(min(_BLOCK, size))), at + size
    while at < end and (count := os.preadv(file, [block[: end - at]], at)):
        digest.update(block[:count])
        at += count
