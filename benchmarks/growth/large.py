"""A file of gigabytes uploaded and surveyed: what it takes of memory in the client's process and the server's.

The file is written with a hole where its numbers are, all of them zero: it takes no room on the disk until the server
has it. The server's memory counts without the pages of files it has mapped, which the system takes back as it likes.
"""

from __future__ import annotations

import io
import re
import threading
import zipfile
from pathlib import Path
from typing import Self

from typing_extensions import Buffer

from benchmarks.growth.curves import Curve
from benchmarks.timing import Row
from benchmarks.uploads import running_server, uploaded

__all__ = ["large_file"]

_WIDTH = 1024
_BLOCK = 1 << 20
CLIENT_MB, SERVER_MB = 64, 512


class _Holes(io.FileIO):
    """A file that skips what is all zeros."""

    def write(self, data: Buffer) -> int:
        """Write, or leave a hole."""
        view = bytes(data)
        if len(view) == _BLOCK and not any(view):
            self.seek(_BLOCK, io.SEEK_CUR)
            return _BLOCK
        return super().write(view)


def write_holes(path: Path, gigabytes: float) -> int:
    """Write an npz of uint8 zeros; return its rows."""
    rows = int(gigabytes * 1024) * _WIDTH
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({rows}, {_WIDTH}), }}"
    head += " " * (-(10 + len(head) + 1) % 64) + "\n"
    zeros = bytes(_BLOCK)
    with (
        _Holes(path, "w") as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        member.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode())
        for _ in range(rows * _WIDTH // _BLOCK):
            member.write(zeros)
    return rows


def large_file(folder: Path, *, gigabytes: float) -> tuple[list[Row], list[Curve]]:
    """Upload it in parts and have it surveyed."""
    path = folder / "large.npz"
    rows = write_holes(path, gigabytes)
    megabytes = str(int(gigabytes * 1024) + 64)
    served = running_server(folder / "served", max_upload_mb=megabytes, max_unpacked_mb=megabytes)
    with served as (url, pid), _Highest(pid) as highest:
        took, client = uploaded(url, path, above=0)
    path.unlink()
    rows_found = [
        Row(f"{gigabytes:g} GB ({rows:,} rows) uploaded and surveyed", f"{took:.0f} s", ""),
        Row("... memory of the client's process", f"{client:.0f} MB", f"<= {CLIENT_MB} MB", client <= CLIENT_MB),
        Row("... memory of the server", f"{highest.mb:.0f} MB", f"<= {SERVER_MB} MB", highest.mb <= SERVER_MB),
    ]
    return rows_found, []


class _Highest:
    """Watches what a process takes of memory, mapped files apart, twenty times a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.mb = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            status = Path(f"/proc/{self._pid}/status").read_text()
            found = re.search(r"RssAnon:\s+(\d+)", status)
            self.mb = max(self.mb, int(found[1]) / 1024 if found else 0.0)
