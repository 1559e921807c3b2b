"""Whether a version still meets what it was made for: its errors where labels arrive, its confidence where none do.

Knows no storage and no event. A watch never touches the model; it only says that something has changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from lmaas_server.engine.learning.drift import Adwin, Change
from lmaas_server.records import Json

__all__ = ["CHECK_EVERY", "Signal", "Watch"]

Signal = Literal["error", "confidence"]

CHECK_EVERY = 8
"""How many numbers come between two looks: at 32, the custom, half of the 39 requests an alarm may take are waiting."""
_REQUESTS_PER_LABEL = 10
_PATIENCE = 100
"""A label silences the confidence for ten requests, ten labels for a hundred, and no more for longer."""


def _adwin() -> Adwin:
    return Adwin(check_every=CHECK_EVERY)


@dataclass(slots=True)
class Watch:
    """The watch over one version of one deployment."""

    error: Adwin = field(default_factory=_adwin)
    confidence: Adwin = field(default_factory=_adwin)
    requests: int = 0
    quiet: int = 0
    """For how many more requests labels are relied on."""

    @property
    def signal(self) -> Signal | None:
        """What an alarm would come from now; None before anything was seen."""
        if self.quiet and self.error.seen:
            return "error"
        return "confidence" if self.confidence.seen else "error" if self.error.seen else None

    def requested(self, confidences: Sequence[float | None]) -> list[tuple[int, Change]]:
        """Take in the mean confidences of requests, None where one has none.

        Returns:
            The changes, and at which of the requests each showed; none while labels speak for themselves.
        """
        self.requests += len(confidences)
        quiet = min(self.quiet, len(confidences))
        self.quiet -= quiet
        places = [place for place, confidence in enumerate(confidences) if confidence is not None]
        found = self.confidence.extend([confidence for confidence in confidences if confidence is not None])
        return [(places[at], change) for at, change in found if places[at] >= quiet]

    def labelled(self, *, right: bool) -> Change | None:
        """Take in a label; return a change if errors have become more frequent: fewer are no alarm."""
        self.quiet = min(_PATIENCE, self.quiet + _REQUESTS_PER_LABEL)
        change = self.error.update(0.0 if right else 1.0)
        return change if change is not None and change.after > change.before else None

    def state(self) -> Json:
        """Return what is needed to go on after a restart."""
        return {
            "error": self.error.state(),
            "confidence": self.confidence.state(),
            "requests": self.requests,
            "quiet": self.quiet,
        }

    @classmethod
    def restored(cls, state: Json) -> Watch:
        """Return a watch that goes on where `state` was taken."""
        return cls(
            error=Adwin.restored(state["error"], check_every=CHECK_EVERY),
            confidence=Adwin.restored(state["confidence"], check_every=CHECK_EVERY),
            requests=state["requests"],
            quiet=state["quiet"],
        )
