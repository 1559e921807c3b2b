"""How far the logs of predictions of a crew are: what was answered anywhere, and what of it is in the database.

Every member counts what it has answered and what it has written in a place the others can read, so that whoever needs
an answer of another member waits for that member's next commit and no longer. Knows no prediction.
"""

from __future__ import annotations

import time

from lmaas_server.storage.crew import Crew, Told

__all__ = ["CrewLog"]

_KIND = "log"
_LOOK_SECONDS = 0.001


class CrewLog:
    """This member's counts, and those of the others."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._mine = crew.tell(_KIND)
        self._known: dict[str, Told] = {}

    def __repr__(self) -> str:
        return f"CrewLog({self._mine!r}, others={sorted(self._known)})"

    def added(self, count: int) -> None:
        """Say how many predictions were answered here in all, before the newest is."""
        self._mine.first = count

    def written(self, count: int) -> None:
        """Say how many of them are in the database."""
        self._mine.second = count

    def wait(self, end: float) -> bool:
        """Wait until what the others have answered by now is in the database, or its member is dead; False at `end`.

        Args:
            end: On the clock of `time.monotonic`.
        """
        waiting = {name: told.first for name, told in self._others().items()}
        while True:
            others = self._others()
            waiting = {n: count for n, count in waiting.items() if n in others and others[n].second < count}
            if not waiting:
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(_LOOK_SECONDS)

    def _others(self) -> dict[str, Told]:
        self._known = self._crew.told(_KIND, known=self._known)
        return self._known
