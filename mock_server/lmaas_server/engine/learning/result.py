"""What the result of an update says, of labels and of texts alike. Knows no model and no rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmaas_server.engine.data.examples import Json

if TYPE_CHECKING:  # types alone: an update of labels does not load what writes texts
    from lmaas_server.engine.learning.language_signals import LanguageSignals
    from lmaas_server.engine.learning.language_verdict import LanguageVerdict
    from lmaas_server.engine.learning.signals import Signals
    from lmaas_server.engine.learning.verdict import Verdict


def counts_of(signals: Signals | LanguageSignals) -> Json:
    """Return how much of the feedback was used for what."""
    return {
        "feedback_used": len(signals.fresh),
        "feedback_held_out": len(signals.held),
        "contradictions": signals.contradictions,
        "unusable": signals.unusable,
        "capped": signals.capped,
        "lightened": signals.lightened,
    }


def result_of(verdict: Verdict | LanguageVerdict | None, counts: Json) -> Json:
    """Return what a job's result says; without a verdict there was nothing to learn from."""
    reason = verdict.reason if verdict else "insufficient_evidence"
    return {
        "promoted": reason in {"promoted", "gate_disabled"},
        "reason": reason,
        "gate": {
            "anchor": verdict.anchor.to_json() if verdict else None,
            "fresh": verdict.fresh.to_json() if verdict and verdict.fresh else None,
            "alpha": verdict.alpha if verdict else None,
        },
        **counts,
    }
