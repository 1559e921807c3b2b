"""Having the system write a file to the disk while the rest of it is still coming. Knows no upload.

What is flushed at the end of a large file is waited for by its sender: 0.1 s for 300 MB on a fast disk. Begun as the
bytes come, most of it is done by then. It promises nothing: that a file is on the disk is for `fsync` to say.
"""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from typing import Any

__all__ = ["STEP", "begin_writing"]

STEP = 8 << 20
"""Bytes after which it pays to say so."""
_SYNC_FILE_RANGE_WRITE = 2
"""Begin to write what is not under way yet, and wait for nothing (sync_file_range(2))."""


def begin_writing(file: int, at: int, count: int) -> None:
    """Begin to write so many bytes of an open file, from `at`; does nothing where the system has no such call."""
    call = _call()
    if call is not None:
        call(file, at, count, _SYNC_FILE_RANGE_WRITE)  # what goes wrong here, `fsync` will tell


@lru_cache(maxsize=1)
def _call() -> Any:
    if sys.platform != "linux":
        return None
    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is not None:
        call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    return call
