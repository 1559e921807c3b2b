"""Room for what a file holds: in memory up to a limit, beyond it in a file without a name. Knows no rows."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from lmaas_server.engine.data.examples import Array, ReadLimits
from lmaas_server.errors import TooLargeError

_BUFFER_BYTES = 1 << 20
"""What is collected before it is written to a file, where so much may be in memory."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be held in memory, and where the files beyond that lie; by default where the system has such."""

    max_memory_bytes: int = 256 << 20
    near: Path | None = None

    def gather(self, dtype: Any) -> Gathered:
        """Return an empty array that grows."""
        return Gathered(np.dtype(dtype), self)


class Gathered:
    """An array whose length is not known beforehand."""

    def __init__(self, dtype: np.dtype[Any], room: Room) -> None:
        self._dtype = dtype
        self._room = room
        self._buffer = bytearray()
        self._file: IO[bytes] | None = None
        self._written = 0

    def __repr__(self) -> str:
        return f"Gathered({len(self):,} of {self._dtype}, {'on disk' if self._file else 'in memory'})"

    def __len__(self) -> int:
        return (self._written + len(self._buffer)) // self._dtype.itemsize

    def add(self, values: Array) -> None:
        """Append values."""
        self._buffer += values.astype(self._dtype, copy=False).tobytes()
        most = self._room.max_memory_bytes
        if len(self._buffer) > (min(_BUFFER_BYTES, most) if self._file else most):
            self._write()

    def finish(self) -> Array:
        """Return what was added; nothing may be added any more."""
        if self._file is None:
            return np.frombuffer(self._buffer, dtype=self._dtype)
        self._write()
        with self._file as file:
            return np.memmap(file, dtype=self._dtype, mode="r+", shape=(len(self),))

    def _write(self) -> None:
        if self._file is None:
            # The file has no name: it is gone with the last reference, or with the process.
            self._file = tempfile.TemporaryFile(dir=self._room.near)  # noqa: SIM115 - closed when all is there
        self._file.write(self._buffer)
        self._written += len(self._buffer)
        self._buffer.clear()
        self._file.flush()


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
    with tempfile.TemporaryFile(dir=near.parent) as file:
        file.truncate(size)
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)
