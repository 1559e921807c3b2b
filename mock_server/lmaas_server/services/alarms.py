"""A signal that changed, as it is told: an event of the deployment, and an alarm for whoever subscribed.

Knows no thread and no detector.
"""

from __future__ import annotations

from dataclasses import dataclass

from lmaas_server.records import DeploymentEventRecord
from lmaas_server.services.ledger import Found
from lmaas_server.services.watching import Signal
from lmaas_server.storage import Storage

__all__ = ["Alarm", "raised"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A signal of a version changed; `event` is what was written down about it."""

    deployment: str
    model: str
    signal: Signal
    before: float
    after: float
    at: int
    """How many numbers the signal had given when it showed."""
    event: DeploymentEventRecord
    created_at: float


def raised(storage: Storage, found: Found) -> Alarm | None:
    """Write down what was found and return it as an alarm; None if the deployment is gone."""
    change = found.change
    data = {
        "model": found.model,
        "signal": found.signal,
        "before": round(change.before, 6),
        "after": round(change.after, 6),
        "at": change.at,
        "older": change.older,
        "newer": change.newer,
        "requests": found.requests,
    }
    what = "share of wrong answers" if found.signal == "error" else "confidence"
    unit = "label" if found.signal == "error" else "request"
    message = (
        f"The {what} of {found.model} went from {change.before:.3f} to {change.after:.3f} "
        f"over its last {change.newer} {unit}s, at the {change.at}th."
    )
    event = storage.deployment_events.add(found.deployment, "drift", message, data, found.now, level="warning")
    if event is None:
        return None
    return Alarm(
        deployment=found.deployment,
        model=found.model,
        signal=found.signal,
        before=change.before,
        after=change.after,
        at=change.at,
        event=event,
        created_at=found.now,
    )
