"""Deployment rows and the history of their variants; knows nothing of serving.

Every change of the variants is a revision, and a revision made for a request key is made once: the same key again
finds it and returns the state as it is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, String, delete, insert, select, type_coerce, update

from lmaas_server.errors import ConflictError, MissingError
from lmaas_server.records import DeploymentRecord, Json, PageRequest, RevisionRecord
from lmaas_server.storage import candidates
from lmaas_server.storage.bell import Bell
from lmaas_server.storage.counting import add_to, counted
from lmaas_server.storage.database import Database
from lmaas_server.storage.deployment_events import Happening, write_event
from lmaas_server.storage.paging import Page, fetch_page
from lmaas_server.storage.rows import columns_of, record_from, values_of
from lmaas_server.storage.tables import deployments, revisions

_COLUMNS = columns_of(deployments, DeploymentRecord)
_REVISION = columns_of(revisions, RevisionRecord)
CHANGEABLE = frozenset({"status", "batching", "metadata", "update_policy", "guard", "error"})


class DeploymentRepository:
    """Deployments and their revisions."""

    def __init__(self, database: Database, *, bell: Bell | None = None) -> None:
        """Take the database, and the bell that those listen to who follow a deployment's events."""
        self._database = database
        self._bell = bell or Bell()
        self._lock = threading.Lock()
        self._generation = 0

    @property
    def generation(self) -> int:
        """How often this process changed a deployment: equal means that nothing changed here; costs nothing."""
        return self._generation

    def changes(self) -> int:
        """How often any process changed a deployment, from the database."""
        with self._database.reading() as connection:
            return counted(connection, "deployment_changes", "")

    def refresh(self) -> None:
        """Take note that another process has changed a deployment: the generation moves on."""
        with self._lock:
            self._generation += 1

    def create(
        self, record: DeploymentRecord, *, reason: str = "Created.", actor: str | None = None
    ) -> DeploymentRecord:
        """Store a deployment and its first revision; the same name with the same request key is there already.

        Raises:
            ConflictError: `deployment_exists`.
        """
        with self._database.writing() as connection:
            if (known := _read(connection, record.name)) is not None:
                if record.request_key is not None and known.request_key == record.request_key:
                    return known
                raise ConflictError(
                    f"There is a deployment {record.name!r} already; change it, delete it, or choose another name.",
                    code="deployment_exists",
                    param="name",
                )
            connection.execute(insert(deployments).values(**_values(record)))
            _add_revision(
                connection, record, reason=reason, actor=actor, now=record.created_at, request_key=record.request_key
            )
            self._changed(connection)
        return self._seen(record)

    def get(self, name: str) -> DeploymentRecord | None:
        """Return the deployment, or None."""
        with self._database.reading() as connection:
            return _read(connection, name)

    def all(self) -> list[DeploymentRecord]:
        """Return every deployment, oldest first: what a routing table is filled from."""
        with self._database.reading() as connection:
            rows = connection.execute(select(*_COLUMNS).order_by(deployments.c.position)).mappings()
            return [_record(row) for row in rows]

    def page(self, page: PageRequest) -> Page[DeploymentRecord]:
        """Return one page of the deployments."""
        with self._database.reading() as connection:
            anchor = deployments.c.name == page.after
            rows, more = fetch_page(connection, deployments, select(*_COLUMNS), page, anchor=anchor)
        return Page(tuple(_record(row) for row in rows), more)

    def set_variants(
        self,
        name: str,
        variants: Iterable[Json],
        *,
        reason: str,
        now: float,
        actor: str | None = None,
        request_key: str | None = None,
        if_revision: int | None = None,
        cause: str = "change",
        happening: Happening | None = None,
    ) -> DeploymentRecord:
        """Give the deployment new variants as a new revision, at once for all who read it, and return it.

        What a version that is champion now has learned from as a candidate is marked as applied along with it.

        Args:
            name: The deployment.
            variants: What serves from now on.
            reason: Why, for people.
            now: When, in unix seconds.
            actor: Who wants it.
            request_key: The same key makes one revision, however often it is given.
            if_revision: The revision that the caller has seen.
            cause: What made the revision, as `RevisionRecord.cause` says.
            happening: The event to write along with it; its data get the number of the revision, and how many items of
                feedback count as applied by it.

        Raises:
            MissingError: `deployment_not_found`.
            ConflictError: `revision_mismatch`, it is not at `if_revision`.
        """
        with self._database.writing() as connection:
            current = _require(connection, name)
            if _made(connection, name, request_key):
                return current
            _check_revision(current, if_revision)
            number = current.revision + 1
            change = update(deployments).where(deployments.c.name == name)
            connection.execute(change.values(variants=list(variants), revision=number))
            record = _require(connection, name)
            _add_revision(connection, record, reason=reason, actor=actor, now=now, request_key=request_key, cause=cause)
            champions = [variant["model"] for variant in record.variants if variant["role"] == "champion"]
            applied = sum(candidates.apply(connection, name, model) for model in champions)
            if happening is not None:
                data = {**happening.data, "revision": number, "feedback_applied": applied}
                write_event(connection, name, replace(happening, data=data), now=now)
            self._changed(connection)
        if happening is not None:
            self._bell.ring(name)
        return self._seen(record)

    def update(self, name: str, **fields: Any) -> DeploymentRecord:
        """Set `status`, `batching`, `metadata`, `update_policy`, `guard` or `error`; no new revision.

        Raises:
            MissingError: `deployment_not_found`.
        """
        if unknown := fields.keys() - CHANGEABLE:
            raise ValueError(f"{sorted(unknown)} cannot be changed here; {sorted(CHANGEABLE)} can")
        with self._database.writing() as connection:
            _require(connection, name)
            connection.execute(update(deployments).where(deployments.c.name == name).values(**fields))
            self._changed(connection)
            record = _require(connection, name)
        return self._seen(record)

    def set_status(self, name: str, status: str, *, error: Json | None = None) -> DeploymentRecord:
        """Set the status, and why it failed."""
        return self.update(name, status=status, error=error)

    def revisions(self, name: str) -> list[RevisionRecord]:
        """Return the history of the variants, newest first."""
        query = select(*_REVISION).where(revisions.c.deployment == name).order_by(revisions.c.revision.desc())
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [record_from(RevisionRecord, {**row, "variants": tuple(row["variants"])}) for row in rows]

    def made_by(self, name: str, request_key: str) -> int | None:
        """Return the number of the revision that a request key has made, or None."""
        with self._database.reading() as connection:
            return _revision_of(connection, name, request_key)

    def delete(self, name: str) -> bool:
        """Remove a deployment and its history; predictions and feedback stay. False if there was none."""
        with self._database.writing() as connection:
            gone = connection.execute(delete(deployments).where(deployments.c.name == name)).rowcount > 0
            self._changed(connection)
        with self._lock:
            self._generation += 1
        return gone

    def serving(self, model: str) -> list[str]:
        """Return the names of the deployments that have a model version among their variants."""
        return [record.name for record in self.having(model)]

    def having(self, model: str) -> list[DeploymentRecord]:
        """Return the deployments that have a model version among their variants, oldest first."""
        mentions = type_coerce(deployments.c.variants, String).contains(f'"{model}"', autoescape=True)
        query = select(*_COLUMNS).where(mentions).order_by(deployments.c.position)
        with self._database.reading() as connection:
            found = [_record(row) for row in connection.execute(query).mappings()]
        return [record for record in found if any(variant.get("model") == model for variant in record.variants)]

    @staticmethod
    def _changed(connection: Connection) -> None:
        add_to(connection, "deployment_changes", {"": 1})

    def _seen(self, record: DeploymentRecord) -> DeploymentRecord:
        with self._lock:
            self._generation += 1
        return record


def _values(record: DeploymentRecord) -> dict[str, Any]:
    return {**values_of(record), "variants": list(record.variants)}


def _record(row: Any) -> DeploymentRecord:
    return record_from(DeploymentRecord, {**row, "variants": tuple(row["variants"])})


def _read(connection: Connection, name: str) -> DeploymentRecord | None:
    row = connection.execute(select(*_COLUMNS).where(deployments.c.name == name)).mappings().one_or_none()
    return None if row is None else _record(row)


def _require(connection: Connection, name: str) -> DeploymentRecord:
    found = _read(connection, name)
    if found is None:
        raise MissingError(f"There is no deployment {name!r}.", code="deployment_not_found", param="deployment")
    return found


def _made(connection: Connection, name: str, request_key: str | None) -> bool:
    """Whether a request key has made its revision already."""
    return request_key is not None and _revision_of(connection, name, request_key) is not None


def _revision_of(connection: Connection, name: str, request_key: str) -> int | None:
    query = select(revisions.c.revision).where(
        revisions.c.deployment == name, revisions.c.request_key == request_key
    )  # fmt: skip
    return connection.execute(query).scalar()


def _check_revision(current: DeploymentRecord, wanted: int | None) -> None:
    if wanted is not None and wanted != current.revision:
        raise ConflictError(
            f"The deployment {current.name!r} is at revision {current.revision}, not {wanted}; read it again.",
            code="revision_mismatch",
            param="if_revision",
        )


def _add_revision(
    connection: Connection,
    record: DeploymentRecord,
    *,
    reason: str,
    actor: str | None,
    now: float,
    request_key: str | None,
    cause: str = "change",
) -> None:
    row = RevisionRecord(
        deployment=record.name,
        revision=record.revision,
        variants=record.variants,
        reason=reason,
        actor=actor,
        created_at=now,
        request_key=request_key,
        cause=cause,
    )
    connection.execute(insert(revisions).values(**{**values_of(row), "variants": list(row.variants)}))
