"""One server per data directory: a lock that ends with the process that holds it. Knows nothing of what lies there."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

__all__ = ["DataDirectoryInUseError", "DirectoryLock"]


class DataDirectoryInUseError(RuntimeError):
    """Another server, which may be in this process, has the data directory."""


class DirectoryLock:
    """Holds `server.lock` in a directory until it is released, or the process is gone."""

    def __init__(self, directory: Path) -> None:
        """Take the lock, making the directory if need be.

        Raises:
            DataDirectoryInUseError: Another server holds it.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / "server.lock"
        self._descriptor: int | None = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = os.read(self._descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            self.release()
            raise DataDirectoryInUseError(
                f"the data directory {directory.absolute()} is in use by another server (process {holder}); "
                "stop that one, or give this one a directory of its own with --data-dir"
            ) from exc
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, str(os.getpid()).encode())

    def __repr__(self) -> str:
        return f"DirectoryLock({str(self._path)!r}, {'held' if self._descriptor is not None else 'released'})"

    def release(self) -> None:
        """Let the directory go."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
