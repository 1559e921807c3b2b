"""What an update was given when it first began, as it lies beside the job. Knows no feedback and no learning.

It is written once, in one step, so that every attempt of the job begins from the same version and the same statements.
"""

from __future__ import annotations

import orjson

from lmaas_server.records import JobRecord, Json
from lmaas_server.storage import Artifacts

__all__ = ["CONTENT", "inputs_key", "packed"]

CONTENT = "update.json"
"""The file that says what was packed: the champion, the items, and what was retracted."""


def inputs_key(job: JobRecord) -> str:
    """Where what a job was given lies in the artifact store."""
    return f"jobs/{job.id}/inputs"


def packed(artifacts: Artifacts, job: JobRecord) -> Json | None:
    """Return what an update was given; None of one that has not begun, and of other jobs."""
    path = artifacts.path(f"{inputs_key(job)}/{CONTENT}")
    try:
        return dict(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
