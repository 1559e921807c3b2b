"""When a deployment's policy calls for an update, from what there is to learn. Knows no storage and starts nothing.

The causes, in the order in which they are looked for:

1. drift      an alarm about a version that serves, which no update has answered; one that was answered by an update
              that came to nothing is tried again once there is twice as much to learn from
2. feedback   so many new items
3. time       so long after the last update, if there is any new item

New is what came after the last update had taken what there was. So nothing starts twice for the same feedback, whatever
became of it; what an update did not learn is there for the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lmaas.types import UpdatePolicySpec
from lmaas_server.records import Json

__all__ = ["Standing", "Trigger", "called_for", "next_moment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a deployment stands to its last update."""

    fresh: int
    """Items that can be learned from and came since."""
    older: int
    """Items that were there then and are still to be learned."""
    since: float
    """When it was asked for, in unix seconds; of a deployment that had none, when it was made."""
    alarm: str | None = None
    """The event of the newest drift of a version that serves, unless a successful update has answered it."""
    tried: bool = False
    """Whether an update has answered it in vain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Why an update is called for."""

    cause: Literal["feedback", "time", "drift"]
    feedback: int
    alarm: str | None = None

    def document(self) -> Json:
        """Return it as it is kept with the job."""
        return {"cause": self.cause, "feedback": self.feedback, "alarm": self.alarm}

    @classmethod
    def read(cls, document: Json) -> Trigger:
        """Return what `document` gave."""
        return cls(**document)


def called_for(policy: UpdatePolicySpec, standing: Standing, now: float) -> Trigger | None:
    """Return why the policy calls for an update now; None if it does not."""
    fresh = standing.fresh
    if not fresh:
        return None
    if policy.on_drift and standing.alarm is not None and (not standing.tried or fresh >= standing.older):
        return Trigger(cause="drift", feedback=fresh, alarm=standing.alarm)
    if policy.min_feedback is not None and fresh >= policy.min_feedback:
        return Trigger(cause="feedback", feedback=fresh)
    if policy.every_seconds is not None and now >= standing.since + policy.every_seconds:
        return Trigger(cause="time", feedback=fresh)
    return None


def next_moment(policy: UpdatePolicySpec, standing: Standing) -> float | None:
    """Return when time alone will call for an update, if nothing else happens; None if it never does."""
    if policy.every_seconds is None or not standing.fresh:
        return None
    return standing.since + policy.every_seconds
