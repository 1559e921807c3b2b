"""What the runner must know of a kind of job: how its work is prepared, and what its outcome changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lmaas_server.jobs.outcome import Outcome
from lmaas_server.records import JobRecord

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a process is to do: a function as `module:function`, and the spec it is given."""

    entry: str
    spec: Json
    listens: bool = True
    """Whether it looks for wishes between steps. One that does not is killed where it is unwanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a finished job has changed, and what is to be on its record."""

    model: str | None = None
    result: Json | None = None
    metrics: Json = field(default_factory=dict)
    message: str = "Succeeded."


class JobKind(Protocol):
    """One kind of job. Both methods may be called again after a crash and must then come to the same."""

    def prepare(self, job: JobRecord, folder: Path) -> Work | Outcome:
        """Return the work to be done, or its outcome where there is nothing to do.

        Args:
            job: The job, running.
            folder: A place for what the work needs, which stays until the job ends: what lies there already was
                made by an earlier attempt and is to be used again.

        Raises:
            ServiceError: The job cannot be done, for instance because its dataset is gone.
        """

    def commit(self, job: JobRecord, outcome: Outcome) -> Commit:
        """Make the outcome last, exactly once: register the model, promote it."""
