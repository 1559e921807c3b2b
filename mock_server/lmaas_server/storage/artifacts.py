"""Files by key, each written whole or not at all; knows no database.

A file or a folder is made under `.tmp` in the same file system, flushed to the disk, and renamed into place, so that
a reader sees all of it or nothing and a power failure leaves what was adopted. Deleting is a rename into `.trash`
first. What a crash leaves in the two is removed at the next start.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*")


class Artifacts:
    """A folder of files and folders, named by keys such as `models/digits/3`."""

    def __init__(self, root: Path) -> None:
        """Use (and make) the folder `root`."""
        self.root = Path(root).absolute()
        self._temp = self.root / ".tmp"
        self._trash = self.root / ".trash"
        for folder in (self.root, self._temp, self._trash):
            folder.mkdir(parents=True, exist_ok=True)

    def __repr__(self) -> str:
        return f"Artifacts({str(self.root)!r})"

    def path(self, key: str) -> Path:
        """Return where a key's file or folder is, whether or not it exists.

        Raises:
            ValueError: The key is not words of letters, digits and `._@-` between slashes.
        """
        parts = key.split("/")
        if not all(_PART.fullmatch(part) for part in parts):
            raise ValueError(f"{key!r} is no key: write words of letters, digits and ._@- with slashes between")
        return self.root.joinpath(*parts)

    def exists(self, key: str) -> bool:
        """Whether there is something under a key."""
        return self.path(key).exists()

    def new_temp(self, suffix: str = "") -> Path:
        """Return a path for a file or folder to be made and adopted; nothing is there yet."""
        return self._temp / f"{secrets.token_hex(12)}{suffix}"

    @contextlib.contextmanager
    def temporary(self, suffix: str = "") -> Iterator[Path]:
        """Lend a path as `new_temp` does, and remove what is still there at the end."""
        path = self.new_temp(suffix)
        try:
            yield path
        finally:
            _remove(path)

    def adopt_file(self, temp: Path, key: str) -> Path:
        """Move a finished file to its key, over one that is there; on the disk when this returns."""
        target = self._prepare(key)
        _flush(temp)
        temp.replace(target)
        _flush(target.parent)
        return target

    def adopt_directory(self, temp: Path, key: str) -> Path:
        """Move a finished folder to its key, in place of one that is there; on the disk when this returns."""
        target = self._prepare(key)
        for folder, _, names in os.walk(temp):
            for name in names:
                _flush(Path(folder, name))
            _flush(Path(folder))
        if target.exists():
            self.delete(key)
        temp.rename(target)
        _flush(target.parent)
        return target

    def write(self, key: str, content: bytes) -> Path:
        """Store bytes under a key."""
        with self.temporary() as temp:
            temp.write_bytes(content)
            return self.adopt_file(temp, key)

    def link_directory(self, source: Path, key: str) -> Path:
        """Store a folder under a key without copying its files: the same bytes under a second name."""
        with self.temporary() as temp:
            shutil.copytree(source, temp, copy_function=os.link)
            return self.adopt_directory(temp, key)

    def delete(self, key: str) -> bool:
        """Remove a key's file or folder, at once for every reader; False if there was none."""
        doomed = self._trash / secrets.token_hex(12)
        try:
            self.path(key).rename(doomed)
        except FileNotFoundError:
            return False
        _remove(doomed)
        return True

    def keys(self, prefix: str, depth: int = 1) -> Iterator[str]:
        """Yield what is stored `depth` levels under a prefix, sorted."""
        folder = self.path(prefix)
        if not folder.is_dir():
            return
        for path in sorted(folder.glob("/".join(["*"] * depth))):
            yield path.relative_to(self.root).as_posix()

    def sweep(self) -> int:
        """Remove what a crash left unfinished; returns how many things. Only at start-up, while nobody writes."""
        left = [*self._temp.iterdir(), *self._trash.iterdir()]
        for path in left:
            _remove(path)
        return len(left)

    def _prepare(self, key: str) -> Path:
        target = self.path(key)
        missing = [folder for folder in target.parents if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            _flush(folder.parent)
        return target


def _flush(path: Path) -> None:
    """Have the system write a file, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
