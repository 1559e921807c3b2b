"""Feedback rows: durable, once per id, retractable; knows nothing of learning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, false, func, insert, not_, select, true, update

from lmaas_server.errors import ConflictError
from lmaas_server.records import FeedbackRecord, PageRequest
from lmaas_server.storage.counting import add_to, counted
from lmaas_server.storage.database import Database
from lmaas_server.storage.learned import Learned, add_learned, counted_by, learned_by
from lmaas_server.storage.paging import Page, fetch_page
from lmaas_server.storage.rows import columns_of, record_from, values_of
from lmaas_server.storage.tables import feedback

_COLUMNS = columns_of(feedback, FeedbackRecord)
_LIVE = feedback.c.retracted_at.is_(None)
_CHUNK = 500
_CONTENT = ("prediction_id", "index", "kind", "value", "weight", "source", "metadata")
"""What a statement says; when it came and what was learned from it are not part of it."""


class FeedbackRepository:
    """Statements about predictions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_many(self, records: Sequence[FeedbackRecord]) -> list[FeedbackRecord]:
        """Store all of the items, or none; on the disk when this returns. An item that is there is returned as it is.

        Raises:
            ConflictError: `feedback_conflict`, an id is there with other content, the first stands;
                `feedback_retracted`, an id was retracted and cannot come back.
        """
        return [_kept(outcome) for outcome in self.add_each(records, every=True)]

    def add_each(
        self, records: Sequence[FeedbackRecord], *, every: bool = False
    ) -> list[FeedbackRecord | ConflictError]:
        """Store those of the items that can be; in the place of each other, the error that `add_many` raises.

        With `every`, nothing is stored where there is any error, and the first is the last of what is returned.
        """
        with self._database.writing() as connection:
            stored = _known(connection, list(dict.fromkeys(record.id for record in records)))
            fresh: list[FeedbackRecord] = []
            outcomes: list[FeedbackRecord | ConflictError] = []
            for place, record in enumerate(records):
                if record.id not in stored:
                    stored[record.id] = record
                    fresh.append(record)
                outcomes.append(_same(stored[record.id], record, place=place))
                if every and isinstance(outcomes[-1], ConflictError):
                    return outcomes
            if fresh:
                connection.execute(
                    insert(feedback),
                    [{**values_of(record), "learned": record.applied_in is not None} for record in fresh],
                )
                add_to(connection, "feedback", Counter(record.deployment for record in fresh))
                add_learned(connection, Counter(_learned_of(fresh)))
        return outcomes

    def get(self, id: str) -> FeedbackRecord | None:
        """Return the item, or None if there is none or it was retracted."""
        with self._database.reading() as connection:
            row = connection.execute(select(*_COLUMNS).where(feedback.c.id == id, _LIVE)).mappings().one_or_none()
        return None if row is None else record_from(FeedbackRecord, row)

    def page(
        self,
        page: PageRequest,
        *,
        deployment: str | None = None,
        prediction: str | None = None,
        applied: bool | str | None = None,
        kind: str | None = None,
        source: str | None = None,
    ) -> Page[FeedbackRecord]:
        """Return one page of the items.

        Args:
            page: Which part is wanted.
            deployment: Of this deployment only.
            prediction: About this prediction only.
            applied: True or False: whether a version has learned from it; a version's id: learned by that one.
            kind: Of this kind only.
            source: From this source only.
        """
        query = _filtered(deployment, prediction, applied, kind=kind, source=source)
        with self._database.reading() as connection:
            anchor = (feedback.c.id == page.after) & _LIVE
            rows, more = fetch_page(connection, feedback, query, page, anchor=anchor)
        return Page(tuple(record_from(FeedbackRecord, row) for row in rows), more)

    def delete(self, id: str, *, now: float) -> FeedbackRecord | None:
        """Retract an item: its content is gone, its id stays taken. Returns what it was; None if there was none."""
        with self._database.writing() as connection:
            gone = retract(connection, feedback.c.id == id, now=now)
        return gone[0] if gone else None

    def pending(
        self, deployment: str, *, kinds: Iterable[str] | None = None, limit: int | None = None
    ) -> list[FeedbackRecord]:
        """Return the items no version has learned from yet, in the order they came."""
        return self.standing(deployment, kinds=kinds, learned=False, limit=limit)

    def standing(
        self,
        deployment: str,
        *,
        kinds: Iterable[str] | None = None,
        learned: bool | None = None,
        limit: int | None = None,
    ) -> list[FeedbackRecord]:
        """Return the items that were not retracted, in the order they came; `learned` from by a version, or not yet."""
        query = _filtered(deployment, None, applied=learned)
        if kinds is not None:
            query = query.where(_column("kind", leads=False).in_(list(kinds)))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(feedback.c.position).limit(limit)).mappings().all()
        return [record_from(FeedbackRecord, row) for row in rows]

    def newest(self, deployment: str) -> int:
        """Return the position of the item of a deployment that came last; 0 if there is none."""
        query = select(func.max(feedback.c.position)).where(feedback.c.deployment == deployment, _LIVE)
        with self._database.reading() as connection:
            return connection.execute(query).scalar() or 0

    def count_pending(
        self,
        deployment: str,
        *,
        kinds: Iterable[str],
        after: int = 0,
        until: int | None = None,
        limit: int | None = None,
    ) -> int:
        """Return how many items of some kinds no version has learned from yet, `limit` at most.

        Only those that came after the position `after`, and up to the position `until`.
        """
        some = select(feedback.c.position).where(feedback.c.deployment == deployment, _LIVE)
        if until is None:
            # Led by kind: whatever else is said of a deployment, by the million, is not read.
            waits = func.coalesce(feedback.c.learned, false()) == false()
            some = some.where(feedback.c.kind.in_(list(kinds)), waits, feedback.c.position > after)
        else:
            mine = _column("kind", leads=False).in_(list(kinds))
            some = some.where(feedback.c.learned == false(), mine, feedback.c.position.between(after + 1, until))
        with self._database.reading() as connection:
            return connection.execute(select(func.count()).select_from(some.limit(limit).subquery())).scalar() or 0

    def retracted(self, ids: Sequence[str]) -> set[str]:
        """Return those of the ids that were retracted."""
        with self._database.reading() as connection:
            return {
                id
                for start in range(0, len(ids), _CHUNK)
                for id in connection.execute(
                    select(feedback.c.id).where(
                        feedback.c.id.in_(ids[start : start + _CHUNK]), feedback.c.retracted_at.is_not(None)
                    )
                ).scalars()
            }

    def mark_applied(self, ids: Sequence[str], model: str) -> int:
        """Note which version has learned from the items; returns how many were noted.

        One that was retracted or applied meanwhile keeps what it says.
        """
        count = 0
        with self._database.writing() as connection:
            for start in range(0, len(ids), _CHUNK):
                some = feedback.c.id.in_(ids[start : start + _CHUNK]), _LIVE, feedback.c.applied_in.is_(None)
                add_learned(connection, counted_by(connection, model, some))
                change = update(feedback).where(*some)
                count += connection.execute(change.values(applied_in=model, learned=True)).rowcount
        return count

    def tally(self, model: str) -> list[tuple[str, str | None, int]]:
        """Return (kind, source, count) of the items a version has learned from, which were not retracted since."""
        with self._database.reading() as connection:
            return learned_by(connection, model)

    def count(self, deployment: str) -> int:
        """Return how many items a deployment has; a figure that is kept, not counted."""
        with self._database.reading() as connection:
            return counted(connection, "feedback", deployment)


def retract(connection: Connection, which: ColumnElement[bool], *, now: float) -> list[FeedbackRecord]:
    """Take the contents of items out and leave their ids taken; returns what they were."""
    found = connection.execute(select(*_COLUMNS).where(which, _LIVE)).mappings().all()
    records = [record_from(FeedbackRecord, row) for row in found]
    change = update(feedback).where(which, _LIVE)
    connection.execute(change.values(retracted_at=now, value=None, metadata={}, source=None))
    add_to(connection, "feedback", {name: -count for name, count in Counter(r.deployment for r in records).items()})
    add_learned(connection, {key: -count for key, count in Counter(_learned_of(records)).items()})
    return records


def _learned_of(records: Iterable[FeedbackRecord]) -> Iterator[Learned]:
    """Yield of each item that a version has learned from what it counts as."""
    return ((r.applied_in, r.kind, r.source) for r in records if r.applied_in is not None)


def _filtered(
    deployment: str | None,
    prediction: str | None,
    applied: bool | str | None,
    *,
    kind: str | None = None,
    source: str | None = None,
) -> Select[Any]:
    """Build the query of a list, led to the index of the filter that leaves the fewest rows.

    A planner without statistics may take any index whose columns are compared: of the filters that are not to lead,
    the columns are wrapped in an expression, which no index answers.
    """
    query = select(*_COLUMNS).where(_LIVE)
    elsewhere = prediction is not None or isinstance(applied, str)
    if source is not None:
        query = query.where(_column("source", leads=not elsewhere) == source)
        elsewhere = True
    if kind is not None:
        query = query.where(_column("kind", leads=not elsewhere and applied is None) == kind)
    if deployment is not None:
        query = query.where(_column("deployment", leads=not elsewhere) == deployment)
    if prediction is not None:
        query = query.where(feedback.c.prediction_id == prediction)
    if isinstance(applied, str):
        return query.where(_column("applied_in", leads=prediction is None) == applied)
    if applied is not None and prediction is not None:
        nothing = _column("applied_in", leads=False) == ""
        return query.where(not_(nothing) if applied else nothing)
    if applied is not None and source is not None:
        return query.where(func.coalesce(feedback.c.learned, false()) == (true() if applied else false()))
    if applied is not None:
        return query.where(feedback.c.learned == (true() if applied else false()))
    return query


def _column(name: str, *, leads: bool) -> ColumnElement[str]:
    column = feedback.c[name]
    return column if leads else func.coalesce(column, "")


def _known(connection: Connection, ids: list[str]) -> dict[str, FeedbackRecord | None]:
    """Return what is stored under the ids: a record, or None for one that was retracted."""
    found: dict[str, FeedbackRecord | None] = {}
    for start in range(0, len(ids), _CHUNK):
        query = select(*_COLUMNS, feedback.c.retracted_at).where(feedback.c.id.in_(ids[start : start + _CHUNK]))
        for row in connection.execute(query).mappings():
            fields = dict(row)
            retracted = fields.pop("retracted_at") is not None
            found[row["id"]] = None if retracted else FeedbackRecord(**fields)
    return found


def _same(there: FeedbackRecord | None, record: FeedbackRecord, *, place: int) -> FeedbackRecord | ConflictError:
    """Return what is stored, or the error that it is something else."""
    if there is None:
        return ConflictError(
            f"The feedback {record.id!r} was retracted; say it again under another id.",
            code="feedback_retracted",
            param=f"items[{place}].id",
        )
    differing = next((name for name in _CONTENT if getattr(there, name) != getattr(record, name)), None)
    if differing is None:
        return there
    return ConflictError(
        f"The feedback {record.id!r} is stored with another {differing}, and the first stands; "
        f"use a new id for a new statement.",
        code="feedback_conflict",
        param=f"items[{place}].id",
    )


def _kept(outcome: FeedbackRecord | ConflictError) -> FeedbackRecord:
    if isinstance(outcome, ConflictError):
        raise outcome
    return outcome
