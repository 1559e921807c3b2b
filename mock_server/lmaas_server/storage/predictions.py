"""The log of predictions, written many at a time; knows nothing of models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from sqlalchemy import delete, select

from lmaas_server.records import FeedbackRecord, PageRequest, PredictionRecord
from lmaas_server.storage.counting import add_to, counted
from lmaas_server.storage.database import Database
from lmaas_server.storage.feedback import retract
from lmaas_server.storage.paging import Page, fetch_page
from lmaas_server.storage.rows import columns_of, insert_many_new, record_from
from lmaas_server.storage.tables import feedback, predictions

_COLUMNS = columns_of(predictions, PredictionRecord)
_CHUNK = 500


class PredictionRepository:
    """Answered requests with their inputs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_many(self, records: Sequence[PredictionRecord]) -> None:
        """Store predictions in one transaction of the log; one that is there under its id stays.

        They outlive the process from here on, and a power failure once anything durable is written after them.
        """
        if not records:
            return
        new: Counter[str] = Counter()
        with self._database.writing(durable=False) as connection:
            for deployment, part in groupby(records, key=attrgetter("deployment")):
                new[deployment] += insert_many_new(connection, predictions, list(part))
            add_to(connection, "predictions", {name: count for name, count in new.items() if count})

    def get(self, id: str) -> PredictionRecord | None:
        """Return the prediction, or None."""
        return self.get_many([id]).get(id)

    def get_many(self, ids: Sequence[str], *, inputs: bool = True) -> dict[str, PredictionRecord]:
        """Return the predictions there are of these ids, by id; without `inputs`, which may be long, those are None."""
        found: dict[str, PredictionRecord] = {}
        columns = _COLUMNS if inputs else [column for column in _COLUMNS if column.name != "inputs"]
        with self._database.reading() as connection:
            for start in range(0, len(ids), _CHUNK):
                query = select(*columns).where(predictions.c.id.in_(ids[start : start + _CHUNK]))
                for row in connection.execute(query).mappings():
                    found[row["id"]] = record_from(PredictionRecord, row)
        return found

    def page(self, page: PageRequest, *, deployment: str | None = None) -> Page[PredictionRecord]:
        """Return one page of the log, of one deployment if it is given."""
        query = select(*_COLUMNS)
        if deployment is not None:
            query = query.where(predictions.c.deployment == deployment)
        with self._database.reading() as connection:
            rows, more = fetch_page(connection, predictions, query, page, anchor=predictions.c.id == page.after)
        return Page(tuple(record_from(PredictionRecord, row) for row in rows), more)

    def delete(self, id: str, *, now: float) -> list[FeedbackRecord] | None:
        """Delete a prediction and retract what was said of it, which is returned; None if there is no such prediction.

        Nothing that an update could learn from is left: neither the inputs nor the answers.
        """
        with self._database.writing() as connection:
            this = predictions.c.id == id
            deployment = connection.execute(select(predictions.c.deployment).where(this)).scalar_one_or_none()
            if deployment is None:
                return None
            connection.execute(delete(predictions).where(this))
            add_to(connection, "predictions", {deployment: -1})
            return retract(connection, feedback.c.prediction_id == id, now=now)

    def count(self, deployment: str) -> int:
        """Return how many predictions a deployment has logged; a figure that is kept, not counted."""
        with self._database.reading() as connection:
            return counted(connection, "predictions", deployment)
