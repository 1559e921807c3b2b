"""What is noted of a part that has come: the checksum it came with. Knows no upload and no HTTP.

A part comes with the checksum of its own bytes, which is compared before it counts, or with that of the file up to its
end, which is compared as soon as all parts before it are here: so that nobody takes two checksums of the same bytes. A
mark that is empty or not there is that of a part which is missing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lmaas_server.errors import ConflictError

__all__ = ["Mark", "drop", "held", "mark_at"]

_DIGITS = 64
_NONCE_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Mark:
    """A checksum, and of what."""

    sha256: str
    nonce: str = ""
    """Of a checksum of the file so far: tells this coming of the part from others, since the checksum does not yet say
    which bytes have come. Empty where it is that of the part alone."""

    @classmethod
    def of_file_so_far(cls, sha256: str) -> Self:
        """Return the mark of a part that comes now with the checksum of the file up to its end."""
        return cls(sha256, secrets.token_hex(_NONCE_DIGITS // 2))

    @classmethod
    def read(cls, file: int) -> Self | None:
        """Return what an open file says; None where it says nothing."""
        text = os.pread(file, _DIGITS + _NONCE_DIGITS, 0).decode("ascii")
        return cls(text[:_DIGITS], text[_DIGITS:]) if len(text) in {_DIGITS, _DIGITS + _NONCE_DIGITS} else None

    @property
    def so_far(self) -> bool:
        """Whether it is of the file up to the end of the part, not of the part alone."""
        return bool(self.nonce)

    def says_what(self, other: Mark) -> bool:
        """Whether both say the same of the bytes."""
        return (self.sha256, self.so_far) == (other.sha256, other.so_far)

    def write(self, file: int) -> None:
        """Note it in an open file that is empty."""
        os.pwrite(file, f"{self.sha256}{self.nonce}".encode("ascii"), 0)


def mark_at(path: Path) -> Mark | None:
    """Return what is noted at a path; None where nothing is."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return Mark.read(file)
    finally:
        os.close(file)


@contextlib.contextmanager
def held(path: Path, number: int) -> Iterator[int]:
    """Hold the mark of a part, as an open file; made if it is not there. The lock ends with the process.

    Raises:
        ConflictError: `part_in_progress`, the part is coming in over another connection; retryable.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield file
    except BlockingIOError as exc:
        message = f"Part {number} is coming in over another connection; ask again in a moment."
        raise ConflictError(message, code="part_in_progress", param="part", retryable=True) from exc
    finally:
        os.close(file)


def drop(path: Path, number: int, mark: Mark) -> None:
    """Make a part missing whose bytes are not what its mark says, unless it comes anew by now, or has come."""
    with contextlib.suppress(ConflictError, FileNotFoundError), held(path, number) as file:
        if Mark.read(file) == mark:
            os.ftruncate(file, 0)
