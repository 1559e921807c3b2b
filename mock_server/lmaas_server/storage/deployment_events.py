"""What happened to deployments: events numbered without gaps; knows nothing of why they happen."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from lmaas_server.errors import MissingError
from lmaas_server.records import DeploymentEventRecord, Json, new_id
from lmaas_server.storage.bell import Bell
from lmaas_server.storage.database import Database
from lmaas_server.storage.rows import columns_of, record_from, values_of
from lmaas_server.storage.tables import deployment_events, deployments

_COLUMNS = columns_of(deployment_events, DeploymentEventRecord)
_SEQ = deployment_events.c.seq


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """An event that has no number yet."""

    type: str
    """A word for what happened, such as `drift`."""
    message: str
    """It in a sentence."""
    data: Json
    """It in figures."""
    level: str = "info"
    """`info`, `warning` or `error`."""


class DeploymentEventRepository:
    """Events of deployments; they go with their deployment."""

    def __init__(self, database: Database, *, bell: Bell | None = None) -> None:
        self._database = database
        self.bell = bell or Bell()

    def add(
        self,
        deployment: str,
        type: str,
        message: str,
        data: Json,
        now: float,
        *,
        level: str = "info",
        key: str | None = None,
    ) -> DeploymentEventRecord | None:
        """Number an event and store it; None if there is no such deployment any more.

        Args:
            deployment: Whose event it is.
            type: A word for what happened, such as `drift`.
            message: The event in a sentence.
            data: The event in figures.
            now: When it happened, in unix seconds.
            level: `info`, `warning` or `error`.
            key: The same key is written once; later calls return what is there.
        """
        with self._database.writing() as connection:
            id = new_id("evt", None if key is None else f"{deployment}\0{key}")
            if key is not None and (known := _read(connection, id)) is not None:
                return known
            if connection.execute(select(deployments.c.name).where(deployments.c.name == deployment)).scalar() is None:
                return None
            happening = Happening(type=type, message=message, data=data, level=level)
            record = write_event(connection, deployment, happening, now=now, id=id)
        self.bell.ring(deployment)
        return record

    def events(
        self, deployment: str, *, after_seq: int = 0, limit: int = 1000, order: str = "asc", type: str | None = None
    ) -> list[DeploymentEventRecord]:
        """Return up to `limit` events after the one numbered `after_seq` (0: from where the order begins)."""
        query = select(*_COLUMNS).where(deployment_events.c.deployment == deployment).limit(limit)
        if type is not None:
            query = query.where(deployment_events.c.type == type)
        if order == "asc":
            query = query.where(after_seq < _SEQ).order_by(_SEQ.asc())
        else:
            query = (query.where(after_seq > _SEQ) if after_seq else query).order_by(_SEQ.desc())
        with self._database.reading() as connection:
            return [record_from(DeploymentEventRecord, row) for row in connection.execute(query).mappings()]

    def event_seq(self, deployment: str, id: str) -> int:
        """Return the number of an event, by its id.

        Raises:
            MissingError: `after_not_found`, the deployment has no such event.
        """
        with self._database.reading() as connection:
            record = _read(connection, id)
        if record is None or record.deployment != deployment:
            message = f"The deployment {deployment!r} has no event {id!r}; give the `last_id` of the page before."
            raise MissingError(message, code="after_not_found", param="after")
        return record.seq

    def last_event(self, deployment: str) -> int:
        """Return the number of the newest event; 0 if there is none."""
        with self._database.reading() as connection:
            return _last(connection, deployment)

    def wait_for_events(self, deployment: str, *, after_seq: int, timeout: float) -> list[DeploymentEventRecord]:
        """Return the events after `after_seq`, waiting up to `timeout` seconds for the first; empty if none came."""
        self.bell.wait(deployment, lambda: self.last_event(deployment) > after_seq, timeout)
        return self.events(deployment, after_seq=after_seq)


def write_event(
    connection: Connection, deployment: str, happening: Happening, *, now: float, id: str | None = None
) -> DeploymentEventRecord:
    """Number an event of a deployment that is there, in the caller's transaction, which rings the bell after it."""
    record = DeploymentEventRecord(
        id=id or new_id("evt"),
        deployment=deployment,
        seq=_last(connection, deployment) + 1,
        type=happening.type,
        level=happening.level,
        message=happening.message,
        data=happening.data,
        created_at=now,
    )
    connection.execute(insert(deployment_events).values(**values_of(record)))
    return record


def _last(connection: Connection, deployment: str) -> int:
    query = select(func.max(_SEQ)).where(deployment_events.c.deployment == deployment)
    return connection.execute(query).scalar() or 0


def _read(connection: Connection, id: str) -> DeploymentEventRecord | None:
    row = connection.execute(select(*_COLUMNS).where(deployment_events.c.id == id)).mappings().one_or_none()
    return None if row is None else record_from(DeploymentEventRecord, row)
