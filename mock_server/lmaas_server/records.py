"""The nouns of the service, which nobody changes: what storage returns and services pass on. Knows no wire, no SQL."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from lmaas_server.chance import random_hex

Json = dict[str, Any]


def new_id(prefix: str, request_key: str | None = None, part: int = 0) -> str:
    """Return `PREFIX-` and 24 hex digits: random, or the same for the same `request_key` and `part`.

    An id derived from the idempotency key of the request makes the insert itself idempotent: a crash between
    the work and the record of its answer cannot do the work twice.
    """
    if request_key is None:
        return f"{prefix}-{random_hex()}"
    return f"{prefix}-{hashlib.sha256(f'{prefix}:{part}:{request_key}'.encode()).hexdigest()[:24]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRecord:
    """A checked file of examples; the bytes are in the artifact store at `datasets/{id}`."""

    id: str
    name: str
    format: str
    bytes: int
    sha256: str
    rows: int
    input: Json
    target: Json
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """Work in the background. `wanted` is what was asked of a running job: cancel, pause, or nothing."""

    id: str
    type: str
    status: str
    created_at: float
    request: Json
    seed: int
    started_at: float | None = None
    finished_at: float | None = None
    progress: Json = field(default_factory=dict)
    metrics: Json = field(default_factory=dict)
    model: str | None = None
    deployment: str | None = None
    result: Json | None = None
    error: Json | None = None
    wanted: str | None = None
    attempt: int = 0
    trigger: Json | None = None
    """Of an update that the deployment itself asked for: why."""
    feedback_position: int | None = None
    """Of updates: the position up to which feedback is taken into account; None of one that changes nothing."""
    alarm_seq: int | None = None
    """Of updates: the number of the newest drift event that is answered by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """One line of a job's diary."""

    id: str
    job: str
    seq: int
    type: str
    level: str
    message: str
    data: Json
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRecord:
    """A state of training; its files are in the artifact store at `jobs/{job}/checkpoints/{step}`."""

    id: str
    job: str
    step: int
    epoch: int
    metrics: Json
    bytes: int
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """One version of a model; its bundle is in the artifact store at `models/{name}/{version}`."""

    name: str
    version: int
    task: str
    architecture: Json
    parameters: int
    bytes: int
    sha256: str
    metrics: Json
    input: Json
    target: Json
    lineage: Json
    created_at: float
    owned_by: str = "lmaas"
    aliases: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """`NAME@VERSION`."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRecord:
    """A name that serves predictions; `variants` are dicts of model, weight and role."""

    name: str
    status: str
    variants: tuple[Json, ...]
    revision: int
    batching: Json
    metadata: dict[str, str]
    created_at: float
    update_policy: Json | None = None
    guard: Json | None = None
    error: Json | None = None
    request_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentEventRecord:
    """Something that happened to a deployment: a drift, a promotion, a way back."""

    id: str
    deployment: str
    seq: int
    type: str
    level: str
    message: str
    data: Json
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservationRecord:
    """What one version of a deployment did in the span of time that begins at `begin`, in unix seconds.

    `latency` counts requests by bucket and `feedback` items by kind; `confidence` and `seconds` are sums.
    """

    deployment: str
    model: str
    shadow: bool
    begin: int
    requests: int = 0
    errors: int = 0
    rows: int = 0
    row_errors: int = 0
    seconds: float = 0.0
    latency: dict[str, int] = field(default_factory=dict)
    confidence: float = 0.0
    confident: int = 0
    labelled: int = 0
    correct: int = 0
    feedback: dict[str, int] = field(default_factory=dict)
    ratings: dict[str, int] = field(default_factory=dict)
    compared: int = 0
    agreed: int = 0
    measured: int = 0
    """Rows of values that a shadow compared; `difference` is the sum of their mean absolute differences."""
    difference: float = 0.0
    dropped: int = 0
    """Requests that no shadow looked at, because too many were waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorRecord:
    """What the watch over one version of a deployment remembers."""

    deployment: str
    model: str
    state: Json
    updated_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionRecord:
    """One state in the history of a deployment's variants."""

    deployment: str
    revision: int
    variants: tuple[Json, ...]
    reason: str
    actor: str | None
    created_at: float
    request_key: str | None = None
    cause: str = "change"
    """`change`, `promotion`, `canary`, `rollback`, or `automatic`: a rollback by the server itself."""


# Made for every prediction: freezing it would triple what that takes.
@dataclass(slots=True, kw_only=True)
class PredictionRecord:
    """An answered request with its inputs: bytes as they came, beside their content type."""

    id: str
    deployment: str
    model: str
    outputs: list[Json]
    rows: int
    created_at: float
    user: str | None = None
    inputs: bytes | None = None
    inputs_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRecord:
    """A statement about one row of a prediction."""

    id: str
    prediction_id: str
    index: int
    kind: str
    value: Any
    weight: float
    source: str | None
    metadata: dict[str, str]
    deployment: str
    model: str
    created_at: float
    applied_in: str | None = None
    verdict: bool | None = None
    """Whether it speaks well of what was shown: a label that says the same, a thumb up. None where it says neither."""
    predicted_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Which part of a list is wanted: `limit` items after the id `after`, oldest first if `order` is asc."""

    after: str | None = None
    limit: int = 20
    order: str = "desc"
