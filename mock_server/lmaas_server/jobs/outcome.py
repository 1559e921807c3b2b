"""The outcome of a job, kept on the disk from the end of the work until it is committed.

So the commit can be begun again after a crash at any point of it, and the work is not done again.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from lmaas_server.storage import Artifacts

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a job: a new model's bundle and its description, metrics, a result; any may be missing."""

    bundle: Path | None = None
    model: Json | None = None
    metrics: Json = field(default_factory=dict)
    result: Json = field(default_factory=dict)


def keep_outcome(artifacts: Artifacts, job: str, outcome: Outcome) -> Outcome:
    """Store an outcome, taking its bundle along, and return it as it lies there."""
    with artifacts.temporary() as folder:
        folder.mkdir()
        if outcome.bundle is not None:
            shutil.move(outcome.bundle, folder / "bundle")
        content = {"model": outcome.model, "metrics": outcome.metrics, "result": outcome.result}
        (folder / "outcome.json").write_bytes(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY))
        artifacts.adopt_directory(folder, _key(job))
    kept = kept_outcome(artifacts, job)
    if kept is None:
        raise RuntimeError(f"the outcome of {job} is not where it was put")
    return kept


def kept_outcome(artifacts: Artifacts, job: str) -> Outcome | None:
    """Return the outcome an earlier attempt has stored, or None."""
    folder = artifacts.path(_key(job))
    if not folder.is_dir():
        return None
    content = orjson.loads((folder / "outcome.json").read_bytes())
    bundle = folder / "bundle"
    return Outcome(bundle=bundle if bundle.is_dir() else None, **content)


def _key(job: str) -> str:
    return f"jobs/{job}/outcome"
