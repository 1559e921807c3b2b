"""Job rows and the changes of their status; knows nothing of the work itself.

A status only changes through `move`, which asks for the status it may come from and writes the status event in the
same transaction: of two ends that race, the first recorded stands and the other finds nothing to move.

                    claim                    finish
        queued ------------> running ------------------> succeeded | failed | cancelled
          ^  |                |   |
          |  +-- cancel ------|---|--------------------> cancelled
          |                   |   | worker lost, server gone
          +--- resume -- paused   +-- queued
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from lmaas_server.errors import ConflictError
from lmaas_server.records import JobRecord, PageRequest
from lmaas_server.storage.bell import Bell
from lmaas_server.storage.database import Database
from lmaas_server.storage.diary import Diary, Entry, write_entries
from lmaas_server.storage.paging import Page, fetch_page
from lmaas_server.storage.rows import columns_of, record_from, values_of
from lmaas_server.storage.tables import jobs

_COLUMNS = columns_of(jobs, JobRecord)

OPEN = frozenset({"queued", "running", "paused"})
WISHES = frozenset({"cancel", "pause"})
SEALED = "commit"
"""In place of a wish: the outcome is being committed and nothing can stop it."""
ENDED = frozenset({"succeeded", "failed", "cancelled"})


class JobRepository(Diary):
    """Jobs with their events and checkpoints."""

    def __init__(self, database: Database, *, bell: Bell | None = None) -> None:
        super().__init__(database, bell or Bell())

    def add(self, record: JobRecord, *, message: str = "Queued.") -> tuple[JobRecord, bool]:
        """Store a job; returns what is stored under its id, and whether it is new.

        Raises:
            ConflictError: `update_in_progress`, the deployment has an update that has not ended.
        """
        with self._database.writing() as connection:
            if (known := _read(connection, record.id)) is not None:
                return known, False
            try:
                connection.execute(insert(jobs).values(**values_of(record)))
            except IntegrityError as exc:
                raise _update_in_progress(connection, record) from exc
            write_entries(connection, record.id, [Entry.status(record.status, message, now=record.created_at)])
        self.bell.ring(record.id)
        return record, True

    def get(self, id: str) -> JobRecord | None:
        """Return the job, or None."""
        with self._database.reading() as connection:
            return _read(connection, id)

    def page(self, page: PageRequest, **filters: str | None) -> Page[JobRecord]:
        """Return one page of the jobs; filters are `type`, `status`, `deployment` and `model`."""
        query = select(*_COLUMNS)
        for name, value in filters.items():
            if value is not None:
                query = query.where(jobs.c[name] == value)
        with self._database.reading() as connection:
            rows, more = fetch_page(connection, jobs, query, page, anchor=jobs.c.id == page.after)
        return Page(tuple(record_from(JobRecord, row) for row in rows), more)

    def last_update(self, deployment: str, *, since: float, settled: bool = False) -> JobRecord | None:
        """Return the newest update of a deployment that was asked for at `since` or later; None if there is none.

        If one is open, it is the newest. With `settled`, only one that takes feedback into account: no dry run.
        """
        query = select(*_COLUMNS).where(
            jobs.c.deployment == deployment, jobs.c.type == "update", jobs.c.created_at >= since
        )
        if settled:
            query = query.where(jobs.c.feedback_position.is_not(None))
        with self._database.reading() as connection:
            row = connection.execute(query.order_by(jobs.c.position.desc()).limit(1)).mappings().one_or_none()
        return None if row is None else record_from(JobRecord, row)

    def update(self, id: str, **fields: Any) -> None:
        """Set fields other than the status; progress and metrics, which a crash may take back a moment."""
        if "status" in fields:
            raise ValueError("a status changes by move(), which keeps the diary")
        with self._database.writing(durable=False) as connection:
            connection.execute(update(jobs).where(jobs.c.id == id).values(**fields))

    def move(
        self,
        id: str,
        *,
        to: str,
        of: Iterable[str],
        now: float,
        message: str,
        level: str = "info",
        data: dict[str, Any] | None = None,
        unless_wanted: str | None = None,
        **fields: Any,
    ) -> JobRecord | None:
        """Change the status if it is one `of` those named, and write it in the diary; None if it is another.

        Nothing changes either while `unless_wanted` is wanted of the job. `fields` are set along with the status, and
        what was wanted is forgotten.
        """
        entry = Entry.status(to, message, now=now, level=level, data=data)
        with self._database.writing() as connection:
            changed = _move(connection, id, of=of, entry=entry, unless_wanted=unless_wanted, status=to, **fields)
            record = _read(connection, id) if changed else None
        self.bell.ring(id)
        return record

    def claim_next(self, now: float) -> JobRecord | None:
        """Take the job that has been queued longest and set it running; None if none is queued."""
        oldest = select(jobs.c.id).where(jobs.c.status == "queued").order_by(jobs.c.position).limit(1)
        with self._database.reading() as connection:
            if connection.execute(oldest).scalar() is None:
                return None
        with self._database.writing() as connection:
            id = connection.execute(oldest).scalar()
            job = None if id is None else _read(connection, id)
            if job is None:
                return None
            attempt = job.attempt + 1
            started = job.started_at or now
            entry = Entry.status("running", f"Running, attempt {attempt}.", now=now, data={"attempt": attempt})
            _move(connection, job.id, of=["queued"], entry=entry, status="running", attempt=attempt, started_at=started)
            record = _read(connection, job.id)
        self.bell.ring(job.id)
        return record

    def ask(self, id: str, wanted: str) -> JobRecord | None:
        """Note what is wanted of a running job (`cancel` outweighs `pause`); None if it is too late for wishes."""
        with self._database.writing() as connection:
            job = _read(connection, id)
            if job is None or job.status != "running" or job.wanted == SEALED:
                return None
            if job.wanted != "cancel":
                connection.execute(update(jobs).where(jobs.c.id == id).values(wanted=wanted))
            return _read(connection, id)

    def is_queued(self) -> bool:
        """Whether any job is queued."""
        with self._database.reading() as connection:
            found = connection.execute(select(jobs.c.position).where(jobs.c.status == "queued").limit(1))
            return found.scalar() is not None

    def wishes(self, ids: Iterable[str]) -> dict[str, str]:
        """Return what is wanted of those of the jobs that something is wanted of."""
        query = select(jobs.c.id, jobs.c.wanted).where(jobs.c.id.in_(list(ids)), jobs.c.wanted.is_not(None))
        with self._database.reading() as connection:
            return {row["id"]: row["wanted"] for row in connection.execute(query).mappings()}

    def seal(self, id: str) -> bool:
        """Take no more wishes for a running job, to commit its outcome; False if a cancellation was accepted before."""
        with self._database.writing(durable=False) as connection:
            job = _read(connection, id)
            if job is None or job.status != "running" or job.wanted == "cancel":
                return False
            connection.execute(update(jobs).where(jobs.c.id == id).values(wanted=SEALED))
        return True

    def count(self, status: str) -> int:
        """Return how many jobs are in a status; meant for the open ones, which are few."""
        with self._database.reading() as connection:
            return len(connection.execute(select(jobs.c.position).where(jobs.c.status == status)).all())

    def with_status(self, *statuses: str) -> list[JobRecord]:
        """Return every job in one of the statuses, oldest first."""
        query = select(*_COLUMNS).where(jobs.c.status.in_(statuses)).order_by(jobs.c.position)
        with self._database.reading() as connection:
            return [record_from(JobRecord, row) for row in connection.execute(query).mappings()]

    def requeue_orphans(self, now: float) -> list[JobRecord]:
        """Queue again every job that a dead server left running; a wish that was accepted is granted instead.

        An attempt that ended with its server does not count against the job.
        """
        moved = []
        for job in self.with_status("running"):
            attempt = max(0, job.attempt - 1)
            if job.wanted == "cancel":
                record = self.move(
                    job.id, to="cancelled", of=["running"], now=now, message="Cancelled.", finished_at=now
                )
            elif job.wanted == "pause":
                record = self.move(job.id, to="paused", of=["running"], now=now, message="Paused.", attempt=0)
            else:
                record = self.move(
                    job.id,
                    to="queued",
                    of=["running"],
                    now=now,
                    level="warning",
                    message="The server stopped while this job ran; it goes on from its last checkpoint.",
                    attempt=attempt,
                )
            if record is not None:
                moved.append(record)
        return moved


def _read(connection: Connection, id: str) -> JobRecord | None:
    row = connection.execute(select(*_COLUMNS).where(jobs.c.id == id)).mappings().one_or_none()
    return None if row is None else record_from(JobRecord, row)


def _move(
    connection: Connection,
    id: str,
    *,
    of: Iterable[str],
    entry: Entry,
    unless_wanted: str | None = None,
    **fields: Any,
) -> bool:
    change = update(jobs).where(jobs.c.id == id, jobs.c.status.in_(list(of)))
    if unless_wanted is not None:
        change = change.where(func.coalesce(jobs.c.wanted, "") != unless_wanted)
    if connection.execute(change.values(wanted=None, **fields)).rowcount == 0:
        return False
    write_entries(connection, id, [entry])
    return True


def _update_in_progress(connection: Connection, record: JobRecord) -> ConflictError:
    query = select(jobs.c.id, jobs.c.status).where(
        jobs.c.deployment == record.deployment, jobs.c.type == "update", jobs.c.status.in_(OPEN)
    )
    running = connection.execute(query).mappings().one()
    return ConflictError(
        f"The deployment {record.deployment!r} is being updated by {running['id']} ({running['status']}); "
        f"wait for it to end, or cancel it.",
        code="update_in_progress",
        param="deployment",
    )
