"""What running work says on its way; frozen words between the engine and whoever runs it. Knows no job and no wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """A line for the diary."""

    level: Literal["info", "warning", "error"]
    text: str
    data: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work is: steps taken of all steps, epochs ended of all epochs."""

    step: int
    steps: int
    epoch: int
    epochs: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures measured after an epoch."""

    step: int
    epoch: int
    values: Json


@dataclass(frozen=True, slots=True)
class Checkpointed:
    """A state to go on from lies in `directory`, complete; who keeps it flushes it to the disk."""

    step: int
    epoch: int
    metrics: Json
    directory: Path
    bytes: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The work is done; `bundle` is the new model's directory, or None where there is none."""

    bundle: Path | None
    metrics: Json
    result: Json


Report = Message | Progress | Metrics | Checkpointed | Finished


class Paused(Exception):  # noqa: N818 - an answer to a wish, not an error
    """Raised after a pause was asked for and the checkpoint was reported."""


class Cancelled(Exception):  # noqa: N818 - an answer to a wish, not an error
    """Raised after a cancellation was asked for; nothing is left behind."""
