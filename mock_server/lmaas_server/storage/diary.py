"""A job's diary: its events, numbered without gaps, and its checkpoints; knows no status but what events say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, insert, select, update

from lmaas_server.errors import MissingError
from lmaas_server.records import CheckpointRecord, EventRecord, Json
from lmaas_server.storage.bell import Bell
from lmaas_server.storage.database import Database
from lmaas_server.storage.rows import columns_of, insert_new, record_from, values_of
from lmaas_server.storage.tables import checkpoints, job_events, jobs

_CHECKPOINT = columns_of(checkpoints, CheckpointRecord)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event before it has a number."""

    type: str
    message: str
    created_at: float
    level: str = "info"
    data: Json = field(default_factory=dict)

    @classmethod
    def status(cls, status: str, message: str, *, now: float, level: str = "info", data: Json | None = None) -> Entry:
        """Return the event that says that a job has a new status."""
        return cls(type="status", message=message, created_at=now, level=level, data={"status": status, **(data or {})})


def event_id(job: str, seq: int) -> str:
    """Return the id of an event: its job's id and its number, so that it is found without an index of its own."""
    return f"evt-{job.removeprefix('job-')}-{seq}"


def write_entries(connection: Connection, job: str, entries: Sequence[Entry]) -> int:
    """Number the entries and store them, in the caller's transaction; returns the last number."""
    claim = update(jobs).where(jobs.c.id == job).values(last_event=jobs.c.last_event + len(entries))
    last = connection.execute(claim.returning(jobs.c.last_event)).scalar_one()
    first = last - len(entries) + 1
    rows = [
        {"job": job, "seq": first + n, **values_of(entry)}
        for n, entry in enumerate(entries)
    ]  # fmt: skip
    if rows:
        connection.execute(insert(job_events), rows)
    return int(last)


class Diary:
    """Events and checkpoints of jobs."""

    def __init__(self, database: Database, bell: Bell) -> None:
        self._database = database
        self.bell = bell

    def append_events(self, job: str, entries: Iterable[Entry]) -> int:
        """Number and store events in their order; returns the number of the last."""
        with self._database.writing(durable=False) as connection:
            last = write_entries(connection, job, list(entries))
        self.bell.ring(job)
        return last

    def events(self, job: str, *, after_seq: int = 0, limit: int = 1000, order: str = "asc") -> list[EventRecord]:
        """Return up to `limit` events after the one numbered `after_seq` (0: from where the order begins)."""
        seq = job_events.c.seq
        query = select(job_events).where(job_events.c.job == job).limit(limit)
        if order == "asc":
            query = query.where(seq > after_seq).order_by(seq.asc())
        else:
            query = (query.where(seq < after_seq) if after_seq else query).order_by(seq.desc())
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [record_from(EventRecord, row, id=event_id(job, row["seq"])) for row in rows]

    def event_seq(self, job: str, id: str) -> int:
        """Return the number of an event, by its id.

        Raises:
            MissingError: `after_not_found`, the job has no such event.
        """
        number = id.rpartition("-")[2]
        seq = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0  # noqa: PLR2004
        if id != event_id(job, seq) or not 1 <= seq <= self.last_event(job):
            raise MissingError(
                f"The job {job} has no event {id!r}; give the `last_id` of the page before.",
                code="after_not_found",
                param="after",
            )
        return seq

    def last_event(self, job: str) -> int:
        """Return the number of the newest event; 0 if there is no such job."""
        with self._database.reading() as connection:
            return connection.execute(select(jobs.c.last_event).where(jobs.c.id == job)).scalar() or 0

    def wait_for_events(self, job: str, *, after_seq: int, timeout: float) -> list[EventRecord]:
        """Return the events after `after_seq`, waiting up to `timeout` seconds for the first; empty if none came."""
        self.bell.wait(job, lambda: self.last_event(job) > after_seq, timeout)
        return self.events(job, after_seq=after_seq)

    def add_checkpoint(self, record: CheckpointRecord) -> CheckpointRecord:
        """Store a checkpoint; the one of the same step, if it is there, stays."""
        with self._database.writing() as connection:
            connection.execute(insert_new(connection, checkpoints).values(**values_of(record)))
        return record

    def checkpoints(self, job: str) -> list[CheckpointRecord]:
        """Return the job's checkpoints, newest step first."""
        query = select(*_CHECKPOINT).where(checkpoints.c.job == job).order_by(checkpoints.c.step.desc())
        with self._database.reading() as connection:
            return [record_from(CheckpointRecord, row) for row in connection.execute(query).mappings()]

    def drop_checkpoint(self, id: str) -> bool:
        """Remove one checkpoint's row; False if there was none."""
        with self._database.writing(durable=False) as connection:
            return connection.execute(delete(checkpoints).where(checkpoints.c.id == id)).rowcount > 0

    def drop_checkpoints(self, job: str) -> None:
        """Remove the rows of all of a job's checkpoints."""
        with self._database.writing(durable=False) as connection:
            connection.execute(delete(checkpoints).where(checkpoints.c.job == job))

    def drop_checkpoints_of(self, *statuses: str) -> int:
        """Remove the rows of the checkpoints of all jobs in these statuses; returns how many."""
        of_them = select(jobs.c.id).where(jobs.c.status.in_(statuses))
        with self._database.writing(durable=False) as connection:
            return connection.execute(delete(checkpoints).where(checkpoints.c.job.in_(of_them))).rowcount
