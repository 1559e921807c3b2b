"""What a deployment does of its own accord: start updates, promote them, and take back a canary that is worse."""

from typing import Annotated, Any, Literal

from pydantic import Field

from lmaas.types._wire import WireObject, WireRequest

Strategy = Literal["replay_distill", "finetune", "retrain", "consolidate"]


class Gate(WireRequest):
    """What a candidate must show before it is promoted; the defaults are those of the promotion gate.

    `max_anchor_drop`: points of accuracy (0.01 is one point) the anchor holdout may lose, at the one-sided
    `confidence` bound; of a language model nats a token, 0.15 if omitted. `significance`: of McNemar's test on the
    fresh holdout.
    """

    enabled: bool = True
    max_anchor_drop: Annotated[float, Field(ge=0, le=1)] = 0.01
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    significance: Annotated[float, Field(gt=0, lt=1)] = 0.05


class UpdatePolicySpec(WireRequest):
    """When a deployment starts an update of its own accord, and which. At least one of the first three is given.

    One update runs at a time; whatever calls for another meanwhile makes one more of it, afterwards.
    """

    min_feedback: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """After so many items that can be learned from and that no update has taken into account."""
    every_seconds: Annotated[float, Field(ge=1, le=31_536_000)] | None = None
    """So long after the last update was asked for, where anything has come since that can be learned from."""
    on_drift: bool = False
    """On an alarm of the watch for drift. Where the update is held, for instance because there is too little to learn
    from yet, it is tried again when there is twice as much."""
    strategy: Strategy = "replay_distill"
    promote: Literal["auto", "canary", "manual"] = "auto"
    """With `canary`, no update is started while there is a canary."""
    canary_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Of a canary: the fraction of all the traffic that it is given; omitted, a tenth."""
    gate: Gate | None = None


class UpdatePolicy(WireObject):
    """When a deployment starts an update of its own accord, and which; see `UpdatePolicySpec`."""

    min_feedback: int | None = None
    every_seconds: float | None = None
    on_drift: bool = False
    strategy: Strategy | str
    promote: Literal["auto", "canary", "manual"] | str
    canary_share: float | None = None
    gate: dict[str, Any] | None = None


class GuardSpec(WireRequest):
    """What a canary may not do without being taken back of the server's own accord."""

    enabled: bool = True
    min_labels: Annotated[int, Field(ge=10, le=100_000)] = 100
    """Labels of the canary at which its share of wrong answers is first held against the champion's; it is again at
    twice as many, and so on. Of predictions made since it is a canary; where there are no labels, ratings count."""
    significance: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    """The chance, over all the looks there will ever be, that a canary as good as the champion is taken back for its
    wrong answers."""
    max_latency_factor: Annotated[float, Field(gt=1, le=1000)] | None = 3.0
    """How many times the champion's p95 the canary's may be over the last hour; less than 5 ms more is always fine.
    null is no limit."""
    max_p99_ms: Annotated[float, Field(gt=0)] | None = None
    """Milliseconds that the canary's p99 may be over the last hour; null is no limit."""
    max_error_rate: Annotated[float, Field(gt=0, lt=1)] | None = 0.02
    """The share of requests the canary may fail to answer over the last hour; it is taken back where chance would
    exceed this once in a thousand times at most, and the champion fails less. null is no limit."""
    min_requests: Annotated[int, Field(ge=10, le=1_000_000)] = 200
    """Requests of the canary (and of the champion, to compare with) before latencies are looked at."""


class Guard(WireObject):
    """What a canary may not do without being taken back; see `GuardSpec`."""

    enabled: bool
    min_labels: int
    significance: float
    max_latency_factor: float | None = None
    max_p99_ms: float | None = None
    max_error_rate: float | None = None
    min_requests: int
