"""Token buckets of several processes in one mapped file: a limit holds for all of them together. Knows no limit.

A table of slots, by the hash of the caller; callers are the keys of the server, of which there are few. The clock the
buckets are read with has to be one clock for all processes, as `time.monotonic` is.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

from lmaas_server.http.limits import Bucket

__all__ = ["SharedBuckets"]

_SLOTS = 4096
_SLOT = struct.Struct("<16sdd")
_FREE = bytes(16)


class SharedBuckets:
    """Buckets in a file."""

    def __init__(self, path: Path) -> None:
        """Open the file, made if it is not there."""
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._file, _SLOTS * _SLOT.size)
        self._map = mmap.mmap(self._file, _SLOTS * _SLOT.size)
        # A lock on a file is the process's: its threads would all have it.
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"SharedBuckets({str(self._path)!r})"

    def change(self, caller: str, by: Callable[[Bucket | None], Bucket]) -> None:
        """Put what `by` returns in place of a caller's bucket, None if there is none; nobody else does meanwhile."""
        name = blake2b(caller.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        with self._lock:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                at = self._slot(name)
                known, *bucket = _SLOT.unpack_from(self._map, at)
                left, since = by((bucket[0], bucket[1]) if known == name else None)
                _SLOT.pack_into(self._map, at, name, left, since)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _slot(self, name: bytes) -> int:
        """Return where a caller's bucket is, or may be put: over the first that was tried, if the table is full."""
        first = int.from_bytes(name[:4], "little") % _SLOTS
        for step in range(_SLOTS):
            at = (first + step) % _SLOTS * _SLOT.size
            if self._map[at : at + 16] in {name, _FREE}:
                return at
        return first * _SLOT.size
