"""Writes down what a running job says: events, progress with its ETA, metrics, checkpoints; decides no status."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmaas_server.engine.reports import Checkpointed, Message, Metrics, Progress
from lmaas_server.records import CheckpointRecord, JobRecord, Json
from lmaas_server.storage import Artifacts, Storage
from lmaas_server.storage.diary import Entry

PROGRESS_SECONDS = 0.2
"""Progress is written this often at most; the newest is never lost for longer."""
KEEP = 2

Report = Message | Progress | Metrics | Checkpointed


class Diarist:
    """The pen of one attempt; used by one thread."""

    def __init__(self, job: JobRecord, *, storage: Storage, artifacts: Artifacts, clock: Callable[[], float]) -> None:
        self._job = job
        self._jobs = storage.jobs
        self._artifacts = artifacts
        self._clock = clock
        self._keep = int((job.request.get("checkpoints") or {}).get("keep", KEEP))
        self._pace = Pace()
        self._progress: Json | None = None
        self._written = 0.0
        self.metrics: Json = dict(job.metrics)
        self.step: int = 0
        """Of the newest checkpoint."""

    def write(self, report: Report) -> None:
        """Write one report down."""
        _PENS[type(report)](self, report)

    def flush(self) -> None:
        """Write the progress that was held back."""
        if self._progress is not None:
            self._save()

    def last_checkpoint(self) -> Path | None:
        """Return the folder of the newest checkpoint whose files are there, or None."""
        for record in self._jobs.checkpoints(self._job.id):
            folder = self._artifacts.path(self._key(record.step))
            if folder.is_dir():
                self.step = record.step
                return folder
        return None

    def clean_directory(self) -> Path:
        """Return the folder the work may write in, without what an earlier attempt has left there."""
        key = f"jobs/{self._job.id}/work"
        self._artifacts.delete(key)
        folder = self._artifacts.path(key)
        folder.mkdir(parents=True)
        return folder

    def _message(self, report: Message) -> None:
        self._event("message", report.text, report.data, level=report.level)

    def _on_progress(self, report: Progress) -> None:
        self._progress = {
            "step": report.step,
            "steps": report.steps,
            "epoch": report.epoch,
            "epochs": report.epochs,
            "eta_seconds": self._pace.eta(report.step, report.steps, time.monotonic()),
        }
        if time.monotonic() - self._written >= PROGRESS_SECONDS:
            self.flush()

    def _on_metrics(self, report: Metrics) -> None:
        self.metrics = {**self.metrics, **report.values}
        self._save(metrics=self.metrics)
        data = {"step": report.step, "epoch": report.epoch, **report.values}
        self._event("metrics", f"Epoch {report.epoch}: {_figures(report.values)}.", data)

    def _checkpoint(self, report: Checkpointed) -> None:
        """Take the files over, note them, and let go of the oldest."""
        self._artifacts.adopt_directory(report.directory, self._key(report.step))
        id = f"ckpt-{self._job.id.removeprefix('job-')}-{report.step}"
        record = CheckpointRecord(
            id=id,
            job=self._job.id,
            step=report.step,
            epoch=report.epoch,
            metrics=report.metrics,
            bytes=report.bytes,
            created_at=self._clock(),
        )
        self._jobs.add_checkpoint(record)
        self.step = report.step
        self.flush()
        data = {"checkpoint": id, "step": report.step, "epoch": report.epoch, "bytes": report.bytes}
        self._event("checkpoint", f"Checkpoint at step {report.step}.", data)
        for old in self._jobs.checkpoints(self._job.id)[self._keep :]:
            self._jobs.drop_checkpoint(old.id)
            self._artifacts.delete(self._key(old.step))

    def _save(self, **fields: Json) -> None:
        """Write fields of the job, and the progress that was held back with them: one transaction."""
        if self._progress is not None:
            fields["progress"] = self._progress
        self._jobs.update(self._job.id, **fields)
        self._progress = None
        self._written = time.monotonic()

    def _event(self, type: str, message: str, data: Json, *, level: str = "info") -> None:
        entry = Entry(type=type, message=message, data=data, level=level, created_at=self._clock())
        self._jobs.append_events(self._job.id, [entry])

    def _key(self, step: int) -> str:
        return f"jobs/{self._job.id}/checkpoints/{step}"


class Pace:
    """How fast the steps come, from the first that was seen."""

    def __init__(self) -> None:
        self._start: tuple[int, float] | None = None

    def eta(self, step: int, steps: int, now: float) -> float | None:
        """Return the seconds until the last step at the rate so far; None while there is no rate."""
        if self._start is None or step < self._start[0]:
            self._start = (step, now)
        first, since = self._start
        if step == first or now <= since:
            return 0.0 if step >= steps > 0 else None
        return round((steps - step) * (now - since) / (step - first), 3)


def _figures(values: Json) -> str:
    numbers = {name: value for name, value in values.items() if isinstance(value, (int, float))}
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())


_PENS: dict[type, Callable[[Diarist, Any], None]] = {
    Message: Diarist._message,  # noqa: SLF001 - the table of this class
    Progress: Diarist._on_progress,  # noqa: SLF001
    Metrics: Diarist._on_metrics,  # noqa: SLF001
    Checkpointed: Diarist._checkpoint,  # noqa: SLF001
}
