"""Several processes that are one server: who is there, who leads, who was first. Knows no work and no database.

All of it is locks on files, which the kernel lets go with the process that holds them, however it dies: nothing
expires, and no clock is asked.

    start        held by each while it begins; holds the name of the server that last began
    leader       held by the one that does what one alone may do
    NAME.alive   held by each for as long as it lives; one that nobody holds tells of a death
    NAME.*       what a member tells the others (`Told`)
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["Crew", "Told"]

_PAIR = struct.Struct("<QQ")


class Crew:
    """This process among those of one server."""

    def __init__(self, directory: Path, *, server: str) -> None:
        """Join.

        Args:
            directory: Where the members meet; made if need be.
            server: A word that is the same for all members and another at every start of the server.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._server = server
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._leading: int | None = None
        # Locked before it has its name: nobody finds it between the two and takes it for one that died.
        unnamed = directory / f"{self.name}.new"
        alive = _taken(unnamed)
        if alive is None:
            raise RuntimeError(f"{unnamed} is held by another process, though its name is new")
        self._alive: int | None = alive
        unnamed.rename(directory / f"{self.name}.alive")

    def __repr__(self) -> str:
        return f"Crew({self.name}{', leading' if self.leads else ''})"

    @property
    def leads(self) -> bool:
        """Whether this member leads."""
        return self._leading is not None

    @contextlib.contextmanager
    def gathering(self) -> Iterator[bool]:
        """Begin while no other member does; True for the first of this server, which may tidy up."""
        path = self._directory / "start"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            first = path.read_text("ascii") != self._server
            if first:
                self._clear()
            yield first
            path.write_text(self._server, "ascii")
        finally:
            os.close(descriptor)

    def lead(self) -> bool:
        """Lead from now on, unless another member does; True if this one leads."""
        if self._leading is None:
            self._leading = _taken(self._directory / "leader")
        return self.leads

    def lost(self) -> list[str]:
        """Return the members that have died since this was last asked, by any member."""
        found = []
        for path in self._directory.glob("*.alive"):
            if path.stem == self.name:
                continue
            with contextlib.suppress(FileNotFoundError):
                descriptor = _taken(path)
                if descriptor is not None:
                    path.unlink()
                    os.close(descriptor)
                    found.append(path.stem)
        for name in found:
            self._directory.joinpath(f"{name}.log").unlink(missing_ok=True)
        return found

    def tell(self, kind: str) -> Told:
        """Return this member's own pair of figures of a kind, for the others to read."""
        return Told(self._directory / f"{self.name}.{kind}", writable=True)

    def told(self, kind: str, *, known: Mapping[str, Told]) -> dict[str, Told]:
        """Return the pairs of the other members, by their names; those in `known` are not opened again."""
        found = {}
        for path in self._directory.glob(f"*.{kind}"):
            if path.stem in known:
                found[path.stem] = known[path.stem]
            elif path.stem != self.name:
                with contextlib.suppress(FileNotFoundError, ValueError):  # ValueError: it is not filled yet
                    found[path.stem] = Told(path, writable=False)
        return found

    def note(self, kind: str, content: bytes) -> None:
        """Leave a note of a kind for the others, in place of the one before; it outlives its member."""
        temporary = self._directory / f"{self.name}.{kind}.new"
        temporary.write_bytes(content)
        temporary.replace(self._directory / f"{self.name}.{kind}")

    def notes(self, kind: str) -> dict[str, bytes]:
        """Return the notes of the other members by their names, those of the dead too."""
        found = {}
        for path in sorted(self._directory.glob(f"*.{kind}")):
            if path.stem != self.name:
                with contextlib.suppress(FileNotFoundError):
                    found[path.stem] = path.read_bytes()
        return found

    def lives(self, name: str) -> bool:
        """Whether a member lives, or its death has not been noticed."""
        return self._directory.joinpath(f"{name}.alive").exists()

    def call(self, word: str) -> None:
        """Call a word to whoever leads."""
        self._directory.joinpath(word).touch()

    def called(self, word: str) -> bool:
        """Whether a word was called since this was last asked."""
        try:
            self._directory.joinpath(word).unlink()
        except FileNotFoundError:
            return False
        return True

    def leave(self) -> None:
        """Leave: another may lead. Who has left is gone; leaving again changes nothing."""
        for descriptor in (self._leading, self._alive):
            if descriptor is not None:
                os.close(descriptor)
        self._leading = self._alive = None
        for kind in ("alive", "log"):
            self._directory.joinpath(f"{self.name}.{kind}").unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove what a server before this one left."""
        for path in self._directory.iterdir():
            if path.name not in {"start", "leader"} and path.stem != self.name:
                descriptor = _taken(path)
                if descriptor is not None:  # a member that waits its turn holds its own
                    path.unlink(missing_ok=True)
                    os.close(descriptor)


class Told:
    """Two figures that grow, written by one process and read by others without asking it."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        with path.open("w+b" if writable else "rb") as file:
            if writable:
                file.write(_PAIR.pack(0, 0))
                file.flush()
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(file.fileno(), _PAIR.size, access=access)

    def __repr__(self) -> str:
        return f"Told({self.first}, {self.second})"

    @property
    def first(self) -> int:
        """The first figure."""
        return int.from_bytes(self._map[:8], "little")

    @first.setter
    def first(self, value: int) -> None:
        self._map[:8] = value.to_bytes(8, "little")

    @property
    def second(self) -> int:
        """The second figure."""
        return int.from_bytes(self._map[8:16], "little")

    @second.setter
    def second(self, value: int) -> None:
        self._map[8:16] = value.to_bytes(8, "little")


def _taken(path: Path) -> int | None:
    """Return a descriptor that holds the lock of a file, made if need be; None if another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
