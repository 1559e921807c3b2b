"""Model versions and aliases; knows nothing of weights.

A version is numbered and inserted in one transaction, inside which the caller puts the bundle in its place: nobody
sees a version without files, and a job that is committed again after a crash finds the version it made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, insert, select, update

from lmaas_server.errors import InvalidError, MissingError
from lmaas_server.records import Json, ModelRecord, PageRequest
from lmaas_server.storage import candidates
from lmaas_server.storage.database import Database
from lmaas_server.storage.paging import Page, fetch_page
from lmaas_server.storage.rows import columns_of, insert_new, record_from, upsert
from lmaas_server.storage.tables import aliases, model_names, models

_COLUMNS = columns_of(models, ModelRecord)
LATEST = "latest"
SHOWN = 10


class ModelRepository:
    """The registry of versions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_version(
        self,
        name: str,
        *,
        task: str,
        architecture: Json,
        parameters: int,
        bytes: int,
        sha256: str,
        metrics: Json,
        input: Json,
        target: Json,
        lineage: Json,
        created_at: float,
        owned_by: str = "lmaas",
        place: Callable[[ModelRecord], None] | None = None,
    ) -> ModelRecord:
        """Register the next version of `name`; the one that `lineage["job"]` has made, if it has, is returned instead.

        `place` is called with the new record before the transaction commits, to put the files where the record says;
        if it raises, nothing was registered. Whatever lies in that place was left by a crash and has no row.
        """
        job = lineage.get("job")
        with self._database.writing() as connection:
            if job is not None and (known := _one(connection, select(*_COLUMNS).where(models.c.job == job))):
                return known
            record = ModelRecord(
                name=name,
                version=_next_version(connection, name),
                task=task,
                architecture=architecture,
                parameters=parameters,
                bytes=bytes,
                sha256=sha256,
                metrics=metrics,
                input=input,
                target=target,
                lineage=lineage,
                created_at=created_at,
                owned_by=owned_by,
            )
            values = {column.name: getattr(record, column.name) for column in _COLUMNS}
            connection.execute(insert(models).values(job=job, **values))
            if place is not None:
                place(record)
        return record

    def get(self, id: str) -> ModelRecord | None:
        """Return the version `NAME@VERSION`, or None."""
        query = _by_id(id)
        if query is None:
            return None
        with self._database.reading() as connection:
            return _one(connection, query)

    def by_job(self, job: str) -> ModelRecord | None:
        """Return the version a job has made, or None."""
        with self._database.reading() as connection:
            return _one(connection, select(*_COLUMNS).where(models.c.job == job))

    def resolve(self, reference: str, *, param: str = "model") -> ModelRecord:
        """Return the version that `NAME@VERSION`, `NAME@ALIAS`, `NAME@latest` or `NAME` (the newest) means.

        Raises:
            MissingError: `model_not_found`, naming what there is.
        """
        name, _, which = reference.partition("@")
        with self._database.reading() as connection:
            found = _one(connection, _meaning(name, which))
            if found is None:
                raise MissingError(_what_there_is(connection, reference, name), code="model_not_found", param=param)
        return found

    def page(self, page: PageRequest, *, name: str | None = None, alias: str | None = None) -> Page[ModelRecord]:
        """Return one page of the versions, of `name` or behind `alias` if they are given."""
        query = select(*_COLUMNS)
        if name is not None:
            query = query.where(models.c.name == name)
        if alias is not None:
            query = query.join(aliases, (aliases.c.name == models.c.name) & (aliases.c.version == models.c.version))
            query = query.where(aliases.c.alias == alias)
        found = _by_id(page.after or "")
        with self._database.reading() as connection:
            anchor = None if found is None else found.whereclause
            rows, more = fetch_page(connection, models, query, page, anchor=anchor)
            return Page(tuple(_with_aliases(connection, rows)), more)

    def ids(self) -> set[str]:
        """Return the id of every version."""
        with self._database.reading() as connection:
            rows = connection.execute(select(models.c.name, models.c.version)).all()
        return {f"{name}@{version}" for name, version in rows}

    def delete(self, id: str) -> bool:
        """Remove a version's row and the aliases that point at it; its number is not given again."""
        query = _by_id(id)
        if query is None:
            return False
        with self._database.writing() as connection:
            found = _one(connection, query)
            if found is None:
                return False
            where = (aliases.c.name == found.name) & (aliases.c.version == found.version)
            connection.execute(delete(aliases).where(where))
            candidates.forget(connection, id)
            connection.execute(delete(models).where(models.c.name == found.name, models.c.version == found.version))
        return True

    def set_alias(self, name: str, alias: str, version: int, *, now: float) -> ModelRecord:
        """Point an alias at a version and return the version.

        Raises:
            InvalidError: `alias_reserved`, for a number or `latest`.
            MissingError: `model_not_found`.
        """
        if alias.isdigit() or alias == LATEST:
            raise InvalidError(
                f"`alias` is {alias!r}, which already means a version; choose a word such as 'champion'.",
                code="alias_reserved",
                param="alias",
            )
        with self._database.writing() as connection:
            reference = f"{name}@{version}"
            if _one(connection, _meaning(name, str(version))) is None:
                message = _what_there_is(connection, reference, name)
                raise MissingError(message, code="model_not_found", param="version")
            row = upsert(connection, aliases).values(name=name, alias=alias, version=version, updated_at=now)
            changed = {"version": version, "updated_at": now}
            connection.execute(row.on_conflict_do_update(index_elements=["name", "alias"], set_=changed))
            found = _one(connection, _meaning(name, str(version)))
        assert found is not None  # noqa: S101 - it was there in this transaction
        return found

    def drop_alias(self, name: str, alias: str) -> bool:
        """Remove an alias; False if there was none."""
        with self._database.writing() as connection:
            where = (aliases.c.name == name) & (aliases.c.alias == alias)
            return connection.execute(delete(aliases).where(where)).rowcount > 0


def _next_version(connection: Connection, name: str) -> int:
    connection.execute(insert_new(connection, model_names).values(name=name, last_version=0))
    count = update(model_names).where(model_names.c.name == name).values(last_version=model_names.c.last_version + 1)
    return int(connection.execute(count.returning(model_names.c.last_version)).scalar_one())


def _number(text: str) -> int | None:
    """Return the version a text names; `01` names none, or one version would have two ids."""
    return int(text) if text.isascii() and text.isdigit() and text == str(int(text)) and len(text) < 10 else None  # noqa: PLR2004


def _by_id(id: str) -> Select[Any] | None:
    name, _, which = id.partition("@")
    version = _number(which)
    return None if version is None else select(*_COLUMNS).where(models.c.name == name, models.c.version == version)


def _meaning(name: str, which: str) -> Select[Any]:
    query = select(*_COLUMNS).where(models.c.name == name)
    if which in {"", LATEST}:
        return query.order_by(models.c.version.desc()).limit(1)
    version = _number(which)
    if version is not None:
        return query.where(models.c.version == version)
    target = select(aliases.c.version).where(aliases.c.name == name, aliases.c.alias == which).scalar_subquery()
    return query.where(models.c.version == target)


def _one(connection: Connection, query: Select[Any]) -> ModelRecord | None:
    rows = connection.execute(query).mappings().all()
    return next(_with_aliases(connection, rows), None)


def _with_aliases(connection: Connection, rows: Iterable[RowMapping]) -> Iterator[ModelRecord]:
    rows = list(rows)
    words: dict[tuple[str, int], list[str]] = defaultdict(list)
    names = {row["name"] for row in rows}
    if names:
        query = select(aliases.c.name, aliases.c.version, aliases.c.alias).where(aliases.c.name.in_(names))
        for name, version, alias in connection.execute(query.order_by(aliases.c.alias)):
            words[name, version].append(alias)
    return (record_from(ModelRecord, row, aliases=tuple(words[row["name"], row["version"]])) for row in rows)


def _what_there_is(connection: Connection, reference: str, name: str) -> str:
    newest = select(models.c.version).where(models.c.name == name).order_by(models.c.version.desc()).limit(SHOWN)
    versions = [str(version) for version in connection.execute(newest).scalars()]
    words = list(connection.execute(select(aliases.c.alias).where(aliases.c.name == name)).scalars())
    if versions:
        known = f"{name!r} has the versions {', '.join(reversed(versions))}"
        return f"There is no model {reference!r}; {known}{' and the aliases ' + ', '.join(words) if words else ''}."
    names = list(connection.execute(select(models.c.name).distinct().order_by(models.c.name).limit(SHOWN)).scalars())
    there = f"there are {', '.join(names)}" if names else "no model has been trained yet"
    return f"There is no model {reference!r}; {there}."
