"""A body that comes in chunks, taken out of them as it comes. Knows no socket.

https://www.rfc-editor.org/rfc/rfc9112#section-7.1; what is said beside a chunk, and fields after the last, are skipped.
"""

from __future__ import annotations

import re

__all__ = ["BadChunkError", "Chunks"]

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\n\x00]*)?")
_MOST_LINE = 1 << 12
_MOST_TRAILER = 1 << 14


class BadChunkError(Exception):
    """What came is no chunk."""


class Chunks:
    """One body. `ended` once the last chunk and all behind it have come."""

    def __init__(self) -> None:
        self.ended = False
        self._held = b""
        """The beginning of a line."""
        self._left = 0
        """Bytes of this chunk that are to come."""
        self._closing = False
        """A chunk is over, and the end of its line is to come."""
        self._trailing: int | None = None
        """Bytes of the fields after the last chunk, once that has come."""

    def __repr__(self) -> str:
        return f"Chunks(ended={self.ended})"

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return the parts of the body in what came, and what came behind the body.

        Raises:
            BadChunkError: It is no chunk.
        """
        pieces: list[bytes] = []
        data, self._held, at = self._held + data, b"", 0
        while at < len(data) and not self.ended:
            if self._left:
                pieces.append(data[at : at + self._left])
                at += len(pieces[-1])
                self._left -= len(pieces[-1])
                self._closing = not self._left
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                self._held = data[at:]
                if len(self._held) > _MOST_LINE:
                    raise BadChunkError
                return pieces, b""
            self._take(data[at:end])
            at = end + 2
        return pieces, data[at:]

    def _take(self, line: bytes) -> None:
        if self._trailing is not None:
            self._trailing += len(line)
            if self._trailing > _MOST_TRAILER:
                raise BadChunkError
            self.ended = not line
        elif self._closing:
            if line:
                raise BadChunkError
            self._closing = False
        else:
            if (found := _SIZE.fullmatch(line)) is None:
                raise BadChunkError
            self._left = int(found[1], 16)
            if not self._left:
                self._trailing = 0
