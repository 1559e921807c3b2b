"""Figures of deployments by spans of time, added up as they come; knows no latency and no drift.

A span is a minute at first. `condense` makes hours of the minutes that are old, and drops what is older still, so that
a deployment has a bounded number of rows however long it serves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, delete, select

from lmaas_server.records import DetectorRecord, ObservationRecord
from lmaas_server.storage.database import Database
from lmaas_server.storage.rows import columns_of, record_from, upsert, values_of
from lmaas_server.storage.tables import deployments, detectors, observations

_COLUMNS = columns_of(observations, ObservationRecord)
_DETECTOR = columns_of(detectors, DetectorRecord)
_KEY = ("deployment", "begin", "model", "shadow")
_SUMS = (
    *("requests", "errors", "rows", "row_errors", "seconds", "confidence", "confident"),
    *("labelled", "correct", "compared", "agreed", "measured", "difference", "dropped"),
)
_COUNTS = ("latency", "feedback", "ratings")
_HOUR = 3600


class ObservationRepository:
    """What deployments were seen to do."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, records: Sequence[ObservationRecord], watched: Sequence[DetectorRecord] = ()) -> None:
        """Add to the figures, and replace what detectors remember, in one transaction of the log.

        What is said of a deployment that is gone is dropped.
        """
        if not records and not watched:
            return
        with self._database.writing(durable=False) as connection:
            there = _there(connection, {record.deployment for record in records} | {one.deployment for one in watched})
            _add(connection, [record for record in records if record.deployment in there])
            for one in watched:
                if one.deployment in there:
                    _put(connection, detectors, values_of(one), ["deployment", "model"])

    def since(self, deployment: str, begin: int, *, model: str | None = None) -> list[ObservationRecord]:
        """Return the spans of a deployment that begin at `begin` or later, oldest first."""
        query = select(*_COLUMNS).where(observations.c.deployment == deployment, observations.c.begin >= begin)
        if model is not None:
            query = query.where(observations.c.model == model)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(observations.c.begin)).mappings().all()
        return [record_from(ObservationRecord, row) for row in rows]

    def detectors(self, deployment: str) -> list[DetectorRecord]:
        """Return what is remembered of a deployment's versions, the newest first."""
        query = select(*_DETECTOR).where(detectors.c.deployment == deployment).order_by(detectors.c.updated_at.desc())
        with self._database.reading() as connection:
            return [record_from(DetectorRecord, row) for row in connection.execute(query).mappings()]

    def condense(self, *, hourly_before: float, drop_before: float) -> None:
        """Make hours of the spans that began before `hourly_before`, and drop those before `drop_before`."""
        limit = int(hourly_before) // _HOUR * _HOUR
        with self._database.writing(durable=False) as connection:
            connection.execute(delete(observations).where(observations.c.begin < int(drop_before)))
            connection.execute(delete(detectors).where(detectors.c.updated_at < drop_before))
            old = (observations.c.begin < limit) & (observations.c.begin % _HOUR != 0)
            minutes = [
                record_from(ObservationRecord, r) for r in connection.execute(select(*_COLUMNS).where(old)).mappings()
            ]
            if minutes:
                connection.execute(delete(observations).where(old))
                _add(connection, [replace(record, begin=record.begin // _HOUR * _HOUR) for record in minutes])


def _there(connection: Connection, names: set[str]) -> set[str]:
    return set(connection.execute(select(deployments.c.name).where(deployments.c.name.in_(names))).scalars())


def _add(connection: Connection, records: Iterable[ObservationRecord]) -> None:
    """Read what is there, add, and write: nobody else writes in this transaction."""
    for key, same in groupby(sorted(records, key=_key), key=_key):
        matches = [observations.c[name] == value for name, value in zip(_KEY, key, strict=True)]
        row = connection.execute(select(*_COLUMNS).where(*matches)).mappings().one_or_none()
        known = [] if row is None else [record_from(ObservationRecord, row)]
        _put(connection, observations, _sum([*known, *same]), list(_KEY))


def _key(record: ObservationRecord) -> tuple[str, int, str, bool]:
    return record.deployment, record.begin, record.model, record.shadow


def _sum(records: Sequence[ObservationRecord]) -> dict[str, Any]:
    total = {name: getattr(records[0], name) for name in _KEY}
    for name in _SUMS:
        total[name] = sum(getattr(record, name) for record in records)
    for name in _COUNTS:
        counts: dict[str, int] = {}
        for record in records:
            for word, count in getattr(record, name).items():
                counts[word] = counts.get(word, 0) + count
        total[name] = counts
    return total


def _put(connection: Connection, table: Any, values: Mapping[str, Any], key: list[str]) -> None:
    change = {name: value for name, value in values.items() if name not in key}
    row = upsert(connection, table).values(**values)
    connection.execute(row.on_conflict_do_update(index_elements=key, set_=change))
