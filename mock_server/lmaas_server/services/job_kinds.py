"""The kinds of job there are, by type: the one list the runner is given. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lmaas_server.jobs.kinds import JobKind
from lmaas_server.services.evaluating import EvaluationKind
from lmaas_server.services.promoting import Promoter
from lmaas_server.services.sources import Sources
from lmaas_server.services.training import TrainingKind
from lmaas_server.services.updating import UpdateKind
from lmaas_server.storage import Artifacts, Storage

__all__ = ["job_kinds"]


def job_kinds(
    storage: Storage,
    artifacts: Artifacts,
    sources: Sources,
    *,
    flush: Callable[[], None],
    warm: Callable[[str], object],
    clock: Callable[[], float],
) -> Mapping[str, JobKind]:
    """Return how each type of job is prepared and committed.

    Args:
        storage: Where models and deployments are kept.
        artifacts: Where bundles are kept.
        sources: Where datasets and versions are looked up.
        flush: Brings every logged prediction into storage.
        warm: Loads a version that is about to serve.
        clock: Unix seconds.
    """
    return {
        "training": TrainingKind(storage, artifacts, sources, clock=clock),
        "evaluation": EvaluationKind(sources),
        "update": UpdateKind(
            storage,
            artifacts,
            sources,
            flush=flush,
            promoter=Promoter(storage, warm=warm, clock=clock),
            clock=clock,
        ),
    }
