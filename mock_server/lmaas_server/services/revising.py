"""Changes of who serves: promoted, tried as a canary, taken back; each a revision with who, when and why, and an event.

Knows no HTTP and no job. A change is planned from the state as it is, its versions are loaded, and it is stored only
if the state is still the same; else it is planned again. Whoever asks is answered by the old variants until the new
ones can answer at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lmaas_server.errors import ConflictError
from lmaas_server.records import DeploymentRecord, Json, RevisionRecord
from lmaas_server.services.history import AUTOMATIC, named, same_as, way_back
from lmaas_server.services.routing import deployment_missing
from lmaas_server.services.variants import champion_of, models_of, with_canary, with_champion, without_canaries
from lmaas_server.storage import Storage
from lmaas_server.storage.deployment_events import Happening

__all__ = ["SERVER", "Plan", "Reviser", "promotion", "retreat", "revision_mismatch", "trial"]

SERVER = "lmaas"
"""Who acts where nobody asked: the server itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to serve, and why."""

    variants: Sequence[Json]
    reason: str
    cause: str
    happening: Happening


class Reviser:
    """Makes revisions."""

    def __init__(self, storage: Storage, *, load: Callable[[str], object], clock: Callable[[], float]) -> None:
        """Take what it needs; `load` makes a version ready to answer at once."""
        self._storage = storage
        self._load = load
        self._clock = clock

    def __repr__(self) -> str:
        return f"Reviser({self._storage!r})"

    def revise(
        self,
        name: str,
        planned: Callable[[DeploymentRecord], Plan | None],
        *,
        actor: str,
        request_key: str | None = None,
        if_revision: int | None = None,
    ) -> DeploymentRecord:
        """Make the revision that `planned` wants of the state as it is, once for a request key; None changes nothing.

        Raises:
            MissingError: `deployment_not_found`.
            ConflictError: `revision_mismatch`: it is not at `if_revision`; `model_gone`: a version was deleted;
                `model_unusable`: one cannot be loaded.
        """
        deployments = self._storage.deployments
        while True:
            if (current := deployments.get(name)) is None:
                raise deployment_missing(name)
            if request_key is not None and deployments.made_by(name, request_key) is not None:
                return current
            if if_revision is not None and if_revision != current.revision:
                raise revision_mismatch(current, if_revision)
            if (plan := planned(current)) is None:
                return current
            self._make_ready(plan, current)
            try:
                record = deployments.set_variants(
                    name,
                    plan.variants,
                    reason=plan.reason,
                    now=self._clock(),
                    actor=actor,
                    request_key=request_key,
                    if_revision=current.revision,
                    cause=plan.cause,
                    happening=plan.happening,
                )
            except ConflictError:
                continue  # changed since it was read: look again
            # What failed for its model serves again with another.
            return record if record.status == "ready" else deployments.set_status(name, "ready")

    def _make_ready(self, plan: Plan, current: DeploymentRecord) -> None:
        serving = models_of(current.variants) if current.status == "ready" else frozenset()
        for model in sorted(models_of(plan.variants) - serving):
            if self._storage.models.get(model) is None:
                message = (
                    f"{model} is wanted for that and was deleted since; name a revision or a version that is there."
                )
                raise ConflictError(message, code="model_gone", param="revision")
            self._load(model)


def promotion(current: DeploymentRecord, model: str, *, reason: str, actor: str, instead_of: str | None = None) -> Plan:
    """Plan to make a version champion in place of another; omitted, of the champion with the largest share."""
    before = instead_of or champion_of(current)
    variants = with_champion(current.variants, model, instead_of=before)
    happening = Happening(
        type="promotion",
        message=f"{model} serves in place of {before}: {reason}",
        data={"model": model, "before": before, "actor": actor, "reason": reason},
    )
    return Plan(variants=variants, reason=reason, cause="promotion", happening=happening)


def trial(current: DeploymentRecord, model: str, *, share: float, reason: str, actor: str) -> Plan:
    """Plan to give a version a share of the traffic, as the one canary."""
    variants = with_canary(current.variants, model, share=share)
    happening = Happening(
        type="canary",
        message=f"{model} answers {share:.4g} of the traffic of {champion_of(current)}: {reason}",
        data={"model": model, "champion": champion_of(current), "share": share, "actor": actor, "reason": reason},
    )
    return Plan(variants=variants, reason=reason, cause="canary", happening=happening)


def retreat(
    history: Sequence[RevisionRecord],
    *,
    revision: int | None,
    reason: str | None,
    actor: str,
    canary: str | None = None,
) -> Plan:
    """Plan to go back: to a revision, or the one that `way_back` finds; the server itself takes canaries out.

    Raises:
        MissingError: `revision_not_found`.
        ConflictError: `nothing_to_roll_back`.
    """
    current, automatic = history[0], actor == SERVER
    rest = without_canaries(current.variants, only=canary) if automatic and revision is None else []
    if len(rest) < len(current.variants) and rest:
        target = same_as(history, rest)
    else:
        target = way_back(history) if revision is None else named(history, revision)
    variants = rest if target is None else target.variants
    removed = sorted(models_of(current.variants) - models_of(variants))
    default = f"Took {', '.join(removed)} out." if target is None else f"Rolled back to revision {target.revision}."
    why = reason or default
    data = {
        "to": None if target is None else target.revision,
        "before": [variant["model"] for variant in current.variants],
        "after": [variant["model"] for variant in variants],
        "automatic": automatic,
        "actor": actor,
        "reason": why,
    }
    happening = Happening(type="rollback", message=why, data=data, level="warning" if automatic else "info")
    return Plan(variants=variants, reason=why, cause=AUTOMATIC if automatic else "rollback", happening=happening)


def revision_mismatch(record: DeploymentRecord, wanted: int) -> ConflictError:
    """Return the error that somebody else has changed a deployment."""
    message = (
        f"The deployment {record.name!r} is at revision {record.revision}, not {wanted}; read it again and decide."
    )
    return ConflictError(message, code="revision_mismatch", param="if_revision")
