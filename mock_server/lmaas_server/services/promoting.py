"""What becomes of an update's candidate: champion, canary, or a version on the shelf. Knows no HTTP and no training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lmaas_server.errors import ConflictError, MissingError
from lmaas_server.records import DeploymentRecord, JobRecord, Json, ModelRecord, PageRequest
from lmaas_server.services.revising import SERVER, Plan, Reviser, promotion, trial
from lmaas_server.services.variants import CANARY_SHARE, champion_of, models_of
from lmaas_server.storage import Storage

__all__ = ["Promoter", "candidate_of"]

_UPDATES_LOOKED_AT = 100


class Promoter:
    """Puts candidates where a job's request and the gate's verdict say."""

    def __init__(self, storage: Storage, *, warm: Callable[[str], object], clock: Callable[[], float]) -> None:
        """Take what it needs; `warm` loads a version before it is asked for predictions."""
        self._storage = storage
        self._reviser = Reviser(storage, load=warm, clock=clock)

    def act(
        self, job: JobRecord, candidate: ModelRecord, *, champion: str, passed: bool, reason: str, items: Sequence[str]
    ) -> Json:
        """Return `promoted` and `reason` after doing what they say.

        Args:
            job: The update.
            candidate: The version it made, registered.
            champion: The version it began from. If another serves by now, somebody decided otherwise meanwhile.
            passed: Whether the gate let the candidate pass.
            reason: The gate's.
            items: The feedback the update has taken into account: applied once the candidate is champion, now or later.
        """
        way = job.request["promote"]
        self._storage.candidates.note(job.request["deployment"], candidate.id, items)
        if way == "manual":
            return {"promoted": False, "reason": "manual" if passed else reason}
        return self._serve(job, candidate, champion=champion, reason=reason, canary=way == "canary")

    def _serve(self, job: JobRecord, candidate: ModelRecord, *, champion: str, reason: str, canary: bool) -> Json:
        """Change the variants, once: the revision carries the job's id."""
        why = f"{job.id}: {candidate.id} learned from feedback on {champion}"

        def planned(current: DeploymentRecord) -> Plan | None:
            if champion_of(current) != champion:
                return None
            if canary:
                share = job.request.get("canary_share") or CANARY_SHARE
                return trial(current, candidate.id, share=share, reason=why, actor=SERVER)
            return promotion(current, candidate.id, reason=why, actor=SERVER)

        try:
            deployment = self._reviser.revise(job.request["deployment"], planned, actor=SERVER, request_key=job.id)
        except MissingError as exc:
            if exc.code != "deployment_not_found":
                raise
            return {"promoted": False, "reason": "deployment_gone"}
        if self._storage.deployments.made_by(deployment.name, job.id) is None:
            return {"promoted": False, "reason": "champion_changed"}
        return {"promoted": not canary, "reason": "canary" if canary else reason}


def candidate_of(storage: Storage, deployment: DeploymentRecord) -> str:
    """Return the version that is meant where none is named.

    It is the only canary, or else what the newest update with `promote: manual` has made of the present champion, of
    those that have not served here yet.

    Raises:
        ConflictError: `candidate_ambiguous`: there are several canaries; `nothing_to_promote`.
    """
    canaries = [variant["model"] for variant in deployment.variants if variant["role"] == "canary"]
    if len(canaries) == 1:
        return str(canaries[0])
    if canaries:
        message = f"The deployment {deployment.name!r} has {len(canaries)} canaries: {', '.join(canaries)}; name one."
        raise ConflictError(message, code="candidate_ambiguous", param="model")
    champion = champion_of(deployment)
    served = frozenset[str]().union(*(models_of(r.variants) for r in storage.deployments.revisions(deployment.name)))
    updates = storage.jobs.page(PageRequest(limit=_UPDATES_LOOKED_AT), type="update", deployment=deployment.name)
    for job in updates.items:
        result = job.result or {}
        model = result.get("candidate")
        waits = job.request["promote"] == "manual" and result.get("champion") == champion and model not in served
        if model is not None and waits and storage.models.get(model) is not None:
            return str(model)
    message = (
        f"The deployment {deployment.name!r} has no canary, and no update with `promote: manual` has left a candidate "
        f"that learned on {champion}, its champion; name a version."
    )
    raise ConflictError(message, code="nothing_to_promote", param="model")
