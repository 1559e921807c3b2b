"""The checksum and the progress of an upload while it is sent; knows no transport."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from lmaas._request import Slice, Upload


@dataclass(slots=True)
class Digest:
    """The sha256 of a file while it is sent, and how far that has come."""

    upload: Upload
    key: str
    hash: Any = field(default_factory=sha256)
    sent: int = 0

    def seen(self, block: bytes) -> None:
        """Note a block that has been sent."""
        self.hash.update(block)
        self.sent += len(block)
        if self.upload.on_progress is not None:
            self.upload.on_progress(self.sent, self.upload.size)


def sending(digest: Digest | Slice) -> Iterator[bytes]:
    """Yield an upload's bytes, or those of a part of one."""
    if isinstance(digest, Slice):
        yield from digest.blocks()
        return
    yield digest.upload.head(digest.key)
    for block in digest.upload.blocks():
        yield block
        digest.seen(block)
    yield digest.upload.tail(digest.key)
