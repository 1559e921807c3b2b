"""What becomes of a candidate: champion, canary, or a version on the shelf. Knows no HTTP and no training."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lmaas_server.errors import ConflictError, MissingError
from lmaas_server.records import DeploymentRecord, JobRecord, Json, ModelRecord
from lmaas_server.storage import Storage

__all__ = ["Promoter", "champion_of"]

CANARY_WEIGHT = 0.1


class Promoter:
    """Puts candidates where a job's request and the gate's verdict say."""

    def __init__(self, storage: Storage, *, warm: Callable[[str], object], clock: Callable[[], float]) -> None:
        """Take what it needs; `warm` loads a version before it is asked for predictions."""
        self._storage = storage
        self._warm = warm
        self._clock = clock

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
            items: The feedback the update has taken into account.
        """
        way = job.request["promote"]
        if way == "manual":
            return {"promoted": False, "reason": "manual" if passed else reason}
        verdict = self._serve(job, candidate, champion=champion, reason=reason, canary=way == "canary")
        if verdict["promoted"]:
            self._storage.feedback.mark_applied(items, candidate.id)
        return verdict

    def _serve(self, job: JobRecord, candidate: ModelRecord, *, champion: str, reason: str, canary: bool) -> Json:
        """Change the variants, once: the revision carries the job's id."""
        arrange = _with_canary if canary else _with_champion
        done = {"promoted": not canary, "reason": "canary" if canary else reason}
        why = f"{job.id}: {candidate.id} learned from feedback on {champion}"
        self._warm(candidate.id)
        while True:
            current = self._storage.deployments.get(job.request["deployment"])
            if current is None:
                return {"promoted": False, "reason": "deployment_gone"}
            if self._storage.deployments.made_by(current.name, job.id) is not None:
                return done
            if champion_of(current) != champion:
                return {"promoted": False, "reason": "champion_changed"}
            try:
                self._storage.deployments.set_variants(
                    current.name,
                    arrange(current, champion, candidate.id),
                    reason=why,
                    now=self._clock(),
                    request_key=job.id,
                    if_revision=current.revision,
                )
            except ConflictError:
                continue  # changed since it was read: look again
            except MissingError:
                return {"promoted": False, "reason": "deployment_gone"}
            return done


def champion_of(deployment: DeploymentRecord) -> str:
    """Return the version that answers: the champion with the largest share, or the largest share of any."""
    champions = [v for v in deployment.variants if v["role"] == "champion"] or list(deployment.variants)
    return str(max(champions, key=lambda v: v["weight"])["model"])


def _with_champion(current: DeploymentRecord, champion: str, candidate: str) -> list[Json]:
    """The candidate in the champion's place; who else has a share keeps it, a canary of the candidate excepted."""
    others = [v for v in current.variants if v["model"] not in {champion, candidate}]
    share = sum(v["weight"] for v in current.variants if v["model"] in {champion, candidate})
    return [{"model": candidate, "weight": share, "role": "champion"}, *others]


def _with_canary(current: DeploymentRecord, champion: str, candidate: str) -> list[Json]:  # noqa: ARG001
    """The candidate as the one canary, beside whoever serves."""
    others = [v for v in current.variants if v["role"] != "canary"]
    return [*others, {"model": candidate, "weight": CANARY_WEIGHT, "role": "canary"}]
