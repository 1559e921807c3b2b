"""Rows that stay in their file: where each begins and ends, read when they are asked for. Knows no format, no torch.

What is held of a row is two numbers, and beyond `max_memory_bytes` not even those: a conversation or a paragraph comes
into memory when it is looked at.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lmaas_server.engine.data.examples import Array, ReadLimits
from lmaas_server.engine.data.spill import Room

MOST_BYTES = 4 << 20
"""Of one row, which is in memory as a whole."""


class Lines:
    """Rows of a file, indexed as an array is: by a number a row, by a slice or by numbers some of them."""

    def __init__(self, path: Path, places: Array, read: Callable[[bytes], Any], room: Room) -> None:
        """Take where rows begin and end, (rows, 2) in bytes, and how their bytes are read."""
        self._file = _File(path)
        self._places = places
        self._read = read
        self.room = room
        """What else is made of these rows, such as their tokens, is bounded as they are."""

    def __repr__(self) -> str:
        return f"Lines({len(self):,} rows)"

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Any]:
        for first, last in self._places:
            yield self._row(first, last)

    def __getitem__(self, rows: Any) -> Any:
        """Return one row, or the rows of a slice or of indices as `Lines`."""
        if isinstance(rows, int | np.integer):
            return self._row(*self._places[rows])
        found = object.__new__(type(self))
        found._file, found._read, found.room = self._file, self._read, self.room
        found._places = self._places[rows]
        return found

    def _row(self, first: Any, last: Any) -> Any:
        return self._read(os.pread(self._file.number, int(last - first), int(first)))


class Places:
    """Collects where the rows of a file are."""

    def __init__(self, path: Path, limits: ReadLimits) -> None:
        self._path = path
        self._room = Room(limits.max_memory_bytes, path.parent)
        self._found = self._room.gather(np.int64)
        self._limit = limits.max_rows
        self.exceeds = False
        """Whether there are more rows than are taken."""

    def __repr__(self) -> str:
        return f"Places({len(self)} rows)"

    def __len__(self) -> int:
        return len(self._found) // 2

    def add(self, first: int, last: int) -> None:
        """Take in the next row."""
        self._found.add(np.array([first, last]))
        self.exceeds = self._limit is not None and len(self) > self._limit

    def rows(self, read: Callable[[bytes], Any]) -> Lines:
        """Return the rows."""
        return Lines(self._path, self._found.finish().reshape(-1, 2), read, self._room)


class _File:
    """An open file, closed with the last of the rows that are read from it."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.number)

    def __repr__(self) -> str:
        return f"_File({self.number})"
