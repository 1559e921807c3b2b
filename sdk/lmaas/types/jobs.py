"""Jobs: what the server does in the background, as it is watched. What is asked for is in `job_requests.py`."""

from typing import Any, Literal

from lmaas.types._wire import WireObject

JobType = Literal["training", "evaluation", "update"]
JobStatus = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]


class JobProgress(WireObject):
    """How far a job has come; `steps` and `epochs` are 0 until they are known."""

    step: int = 0
    steps: int = 0
    epoch: int = 0
    epochs: int = 0
    eta_seconds: float | None = None


class JobError(WireObject):
    """Why a job failed."""

    code: str
    message: str


class JobTrigger(WireObject):
    """Why a deployment asked for an update of its own accord."""

    cause: Literal["feedback", "time", "drift"] | str
    feedback: int
    """Items that had come since the update before, and that can be learned from."""
    alarm: str | None = None
    """Of the cause `drift`: the event that told of it."""


class Job(WireObject):
    """Work the server does in the background."""

    id: str
    object: Literal["job"] | str = "job"
    type: JobType | str
    status: JobStatus | str
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    progress: JobProgress
    metrics: dict[str, Any]
    """The latest of every metric, by name."""
    model: str | None = None
    """The version this job made (training, update) or measured (evaluation), once it is there."""
    result: dict[str, Any] | None = None
    error: JobError | None = None
    request: dict[str, Any]
    """The request with every default filled in."""
    trigger: JobTrigger | None = None
    """Of an update that nobody asked for: why the deployment's update policy did."""
    seed: int

    @property
    def ended(self) -> bool:
        """Whether the job is over, for better or worse."""
        return self.status in {"succeeded", "failed", "cancelled"}


class JobEvent(WireObject):
    """One line of a job's diary; `seq` counts from 1 without gaps."""

    id: str
    seq: int
    object: Literal["job.event"] | str = "job.event"
    type: Literal["message", "metrics", "status", "checkpoint"] | str
    level: Literal["info", "warning", "error"] | str = "info"
    message: str
    data: dict[str, Any]
    created_at: float


class Checkpoint(WireObject):
    """A state of training from which a job can go on."""

    id: str
    object: Literal["job.checkpoint"] | str = "job.checkpoint"
    job: str
    step: int
    epoch: int
    metrics: dict[str, Any]
    bytes: int
    created_at: float
