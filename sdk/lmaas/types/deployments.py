"""Deployments: names under which model versions serve predictions."""

from typing import Annotated, Any, Literal

from pydantic import Field

from lmaas.types._wire import Metadata, Name, WireObject, WireRequest
from lmaas.types.policies import Guard, GuardSpec, UpdatePolicy, UpdatePolicySpec

Role = Literal["champion", "canary", "shadow"]


class VariantSpec(WireRequest):
    """One version behind a deployment and its share of the traffic."""

    model: str
    weight: Annotated[float, Field(ge=0, le=1_000_000)] = 1.0
    """Relative to the sum over all variants; a shadow gets copies, whatever its weight."""
    role: Role = "champion"


class BatchingSpec(WireRequest):
    """How requests may be computed together."""

    max_batch_size: Annotated[int, Field(ge=1, le=65_536)] = 64
    max_delay_ms: Annotated[float, Field(ge=0, le=10_000)] = 2.0


class DeploymentCreate(WireRequest):
    """Serve a model, or several variants, under a name."""

    name: Name
    model: str | None = None
    variants: Annotated[tuple[VariantSpec, ...], Field(strict=False, min_length=1, max_length=16)] | None = None
    """Instead of `model`, where traffic is split."""
    batching: BatchingSpec | None = None
    update_policy: UpdatePolicySpec | None = None
    """When it learns from feedback of its own accord; omitted, never."""
    guard: GuardSpec | None = None
    """When a canary is taken back of the server's own accord; omitted, the defaults of `GuardSpec`."""
    metadata: Metadata = {}


class DeploymentUpdate(WireRequest):
    """Change what is named and leave the rest; new variants make a new revision."""

    model: str | None = None
    variants: Annotated[tuple[VariantSpec, ...], Field(strict=False, min_length=1, max_length=16)] | None = None
    batching: BatchingSpec | None = None
    update_policy: UpdatePolicySpec | None = None
    """Replaced whole; null takes it away."""
    guard: GuardSpec | None = None
    """Replaced whole; null stands for the defaults."""
    metadata: Metadata | None = None
    if_revision: int | None = None
    """Refuse with a conflict unless the deployment is at this revision."""
    reason: str | None = None


class PromoteRequest(WireRequest):
    """Make a version champion in place of the one it learned from."""

    model: str | None = None
    """Omitted: the only canary, or else what the newest update with `promote: manual` has made of the champion."""
    if_revision: int | None = None
    """Refuse with a conflict unless the deployment is at this revision."""
    reason: str | None = None


class RollbackRequest(WireRequest):
    """Go back to an earlier revision.

    Omitted, it is the newest that served otherwise than now and has no version that the server itself took back.
    """

    revision: Annotated[int, Field(ge=1)] | None = None
    if_revision: int | None = None
    """Refuse with a conflict unless the deployment is at this revision."""
    reason: str | None = None


class Variant(WireObject):
    """One version behind a deployment."""

    model: str
    weight: float
    role: Role | str


class Batching(WireObject):
    """How requests may be computed together."""

    max_batch_size: int
    max_delay_ms: float


class Deployment(WireObject):
    """A name that serves predictions."""

    id: str
    object: Literal["deployment"] | str = "deployment"
    name: str
    status: Literal["starting", "ready", "failed", "stopped"] | str
    variants: list[Variant]
    revision: int
    batching: Batching
    update_policy: UpdatePolicy | None = None
    guard: Guard | None = None
    stats: dict[str, Any]
    error: dict[str, Any] | None = None
    metadata: dict[str, str] = {}
    created_at: float

    @property
    def model(self) -> str:
        """The version that answers: the champion with the largest share of the traffic."""
        champions = [v for v in self.variants if v.role == "champion"] or self.variants
        return max(champions, key=lambda v: v.weight).model


class DeploymentRevision(WireObject):
    """One state in the history of a deployment's variants."""

    id: str
    object: Literal["deployment.revision"] | str = "deployment.revision"
    deployment: str
    revision: int
    variants: list[Variant]
    reason: str
    actor: str | None = None
    """Who: a short id of the caller's key, `anybody` on a server without keys, or `lmaas`: the server itself."""
    cause: Literal["change", "promotion", "canary", "rollback", "automatic"] | str = "change"
    """`automatic` is a rollback by the server itself."""
    created_at: float
