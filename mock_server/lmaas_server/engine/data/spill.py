"""Room for the rows of a file: in memory up to a limit, beyond it in a file without a name. Knows no rows."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lmaas_server.engine.data.examples import Array, ReadLimits
from lmaas_server.errors import TooLargeError


def room_for(shape: tuple[int, ...], dtype: Any, limits: ReadLimits, *, near: Path) -> Array:
    """Return an array to be filled; one above `limits.max_memory_bytes` is mapped from a file beside `near`.

    Raises:
        TooLargeError: `archive_too_large`, it would be larger than a file may unpack to.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > limits.max_unpacked_bytes:
        raise TooLargeError(
            f"{shape[0]:,} rows of {size // max(1, shape[0]):,} bytes are {size:,} bytes; at most "
            f"{limits.max_unpacked_bytes:,} are taken. Send fewer rows or columns, or (text) a smaller input.max_bytes",
            code="archive_too_large",
            param="file",
        )
    if size <= limits.max_memory_bytes:
        return np.zeros(shape, dtype=dtype)
    # The file has no name: it is gone with the last reference, or with the process.
    with tempfile.TemporaryFile(dir=near.parent) as file:
        file.truncate(size)
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)
