"""What every process of a crew has counted since the server began, left as notes for the others. Knows no figure.

A note is written once a second where it has changed, and read when somebody asks for the sum. The note of a process
that has died stays: what it has counted has happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson

from lmaas_server.records import Json
from lmaas_server.storage.crew import Crew

__all__ = ["CrewSums"]

_KIND = "sums"
_EVERY_SECONDS = 1.0
_READ_EVERY_SECONDS = 0.2
"""A list of deployments asks for the sums of each of them."""


class CrewSums:
    """This process's note, and those of the others."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._parts: dict[str, Callable[[], object]] = {}
        self._written = b""
        self._due = 0.0
        self._read: dict[str, Json] = {}
        self._read_until = 0.0

    def __repr__(self) -> str:
        return f"CrewSums({sorted(self._parts)})"

    def add(self, name: str, read: Callable[[], object]) -> None:
        """Have what `read` gives, as JSON, stand in the note under a name."""
        self._parts[name] = read

    def write(self) -> None:
        """Write the note if it is due and has changed."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _EVERY_SECONDS
        note = orjson.dumps({name: read() for name, read in self._parts.items()}, option=orjson.OPT_NON_STR_KEYS)
        if note != self._written:
            self._crew.note(_KIND, note)
            self._written = note

    def others(self, name: str, *, living: bool = False) -> list[Json]:
        """Return what stands under a name in the notes of the others; with `living`, only of those that live."""
        if time.monotonic() >= self._read_until:
            self._read_until = time.monotonic() + _READ_EVERY_SECONDS
            self._read = {member: orjson.loads(note) for member, note in self._crew.notes(_KIND).items()}
        notes = [note for member, note in self._read.items() if not living or self._crew.lives(member)]
        return [note[name] for note in notes if name in note]
