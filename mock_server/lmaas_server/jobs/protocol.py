"""The messages between a job's process and the server, to and from JSON; knows no socket.

A job says what the engine reports, and one last thing: `Done`, `Paused`, `Cancelled` or `Failed`. After it, or
instead of it where the process was killed, the fork server adds `Exited`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmaas_server.engine.reports import Checkpointed, Message, Metrics, Progress

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """The work is finished; `bundle` lies in the job's directory and `model` describes it."""

    bundle: Path | None
    metrics: Json
    result: Json
    model: Json | None = None


@dataclass(frozen=True, slots=True)
class Paused:
    """The job stopped at a checkpoint, as it was asked to."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The job stopped and wants nothing kept, as it was asked to."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The work cannot be done."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Exited:
    """The process is gone: by itself with a `status`, or by a `signal`."""

    status: int | None = None
    signal: int | None = None


Ending = Done | Paused | Cancelled | Failed
Said = Message | Progress | Metrics | Checkpointed | Ending | Exited

KINDS: Mapping[str, type[Any]] = {
    "message": Message,
    "progress": Progress,
    "metrics": Metrics,
    "checkpoint": Checkpointed,
    "done": Done,
    "paused": Paused,
    "cancelled": Cancelled,
    "failed": Failed,
    "exited": Exited,
}
_NAMES = {kind: name for name, kind in KINDS.items()}
_PATHS = frozenset({"directory", "bundle"})


def to_json(said: Said) -> Json:
    """Return a message as JSON."""
    fields = {f.name: getattr(said, f.name) for f in dataclasses.fields(said)}
    return {"type": _NAMES[type(said)], **{k: str(v) if isinstance(v, Path) else v for k, v in fields.items()}}


def from_json(value: Json) -> Said:
    """Return the message that a JSON value is.

    Raises:
        ValueError: It is none.
    """
    fields = dict(value)
    kind = KINDS.get(fields.pop("type", ""))
    if kind is None:
        raise ValueError(f"no message is called {value.get('type')!r}")
    try:
        said: Said = kind(**{k: Path(v) if k in _PATHS and v is not None else v for k, v in fields.items()})
    except TypeError as exc:
        raise ValueError(f"not the fields of a {kind.__name__}: {sorted(fields)}") from exc
    return said
