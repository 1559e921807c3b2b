"""An environment of its own for each peer, with pinned versions, under `.venvs`. Knows nothing of what runs in it.

torch is installed first and alone where a peer wants it: asked for together with the rest, pip may choose the build
with several gigabytes of CUDA. What stands in `NAME-alone.txt` is installed without what it asks for, which is older
than what everybody else is measured with (deep-river: torch below 2.6). What cannot be installed is told with the last
line that pip said; nothing stands in.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NotInstalledError", "Peer"]

ROOT = Path(__file__).parents[2] / ".venvs"
_REQUIREMENTS = Path(__file__).parent / "requirements"
_TIMEOUT = 1800
_TORCH = "torch=="


class NotInstalledError(RuntimeError):
    """A peer cannot be installed here; the message says why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer by the name of its file of requirements."""

    name: str

    @property
    def requirements(self) -> list[str]:
        """The pinned distributions."""
        return (_REQUIREMENTS / f"{self.name}.txt").read_text().split()

    @property
    def alone(self) -> list[str]:
        """Those that are installed without what they ask for."""
        file = _REQUIREMENTS / f"{self.name}-alone.txt"
        return file.read_text().split() if file.exists() else []

    @property
    def versions(self) -> str:
        """As they stand in a table: `litserve 0.2.19, torch 2.13.0`."""
        return ", ".join(line.replace("==", " ") for line in [*self.requirements, *self.alone])

    def python(self) -> str:
        """Return the interpreter of the peer's environment, which is made if it is missing or its pins have changed.

        Raises:
            NotInstalledError: pip could not.
        """
        home = ROOT / self.name
        stamp = home / "installed.txt"
        wanted = "\n".join([*self.requirements, *self.alone])
        python = home / "bin" / "python"
        if stamp.exists() and stamp.read_text() == wanted:
            return str(python)
        sys.stderr.write(f"installing {wanted.replace(chr(10), ' ')} into {home}\n")
        _ran([sys.executable, "-m", "venv", str(home)])
        torch = [line for line in self.requirements if line.startswith(_TORCH)]
        for wave in (torch, self.requirements, ["--no-deps", *self.alone] if self.alone else []):
            if wave:
                _ran([str(python), "-m", "pip", "install", "--quiet", "--no-cache-dir", *wave])
        stamp.write_text(wanted)
        return str(python)


def _ran(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as exc:
        raise NotInstalledError(f"not installed in {_TIMEOUT} s") from exc
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise NotInstalledError(said[-1] if said else f"exit status {done.returncode}")
