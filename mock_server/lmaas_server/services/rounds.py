"""What a process of a crew does beside answering: sees what the others have changed, and leads when nobody does.

Knows the crew, and of everything else only what it is given to call.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from lmaas_server.storage.crew import Crew

__all__ = ["ROUND_SECONDS", "Rounds"]

logger = logging.getLogger("lmaas_server")

ROUND_SECONDS = 0.05
_LOOK_FOR_LOST_EVERY = 10
"""Rounds: what a dead process held is free half a second later."""


class Rounds:
    """A thread that goes its rounds until it is told to stop."""

    def __init__(
        self,
        crew: Crew,
        *,
        see: Callable[[], None],
        lead: Callable[[], None],
        patrol: Callable[[], None],
        bury: Callable[[Sequence[str]], object],
    ) -> None:
        """Take what is called in every round, from this one thread.

        Args:
            crew: The processes of this server.
            see: Takes notice of what others have changed; every process does.
            lead: Begins what one process alone does; once, when this one has become it.
            patrol: Does what the leader does in every round.
            bury: Takes up what dead processes, by their names in the crew, have left; by the leader.
        """
        self._crew = crew
        self._see = see
        self._lead = lead
        self._patrol = patrol
        self._bury = bury
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rounds", daemon=True)
        self._led = False

    def __repr__(self) -> str:
        return f"Rounds({self._crew!r})"

    def start(self) -> None:
        """Lead if nobody does, and begin to go."""
        self._tried(self._take_the_lead)
        self._thread.start()

    def stop(self) -> None:
        """Go no more; a round under way is waited for."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        count = 0
        while not self._stopped.wait(ROUND_SECONDS):
            count += 1
            self._tried(self._see)
            self._tried(self._take_the_lead)
            if self._led:
                self._tried(self._patrol)
                if count % _LOOK_FOR_LOST_EVERY == 0:
                    self._tried(self._look_for_lost)

    def _take_the_lead(self) -> None:
        if not self._led and self._crew.lead():
            self._lead()
            self._led = True

    def _look_for_lost(self) -> None:
        if lost := self._crew.lost():
            self._bury(lost)

    @staticmethod
    def _tried(work: Callable[[], object]) -> None:
        """Do what must not end the thread: what failed is tried again in the next round."""
        try:
            work()
        except Exception:
            logger.exception("the rounds go on after an error")
