"""What candidates have learned from, until they are promoted; knows nothing of learning and of serving.

A candidate that serves beside the champion, or waits for a person, has learned from feedback that no champion knows
yet. The items are noted here, and are marked as applied in the transaction that makes the candidate champion.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, true, update

from lmaas_server.storage.database import Database
from lmaas_server.storage.learned import add_learned, counted_by
from lmaas_server.storage.rows import insert_new
from lmaas_server.storage.tables import candidate_feedback, feedback


class CandidateRepository:
    """Feedback by the candidate that has taken it into account."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, deployment: str, model: str, items: Iterable[str]) -> None:
        """Note what a version has learned from; what is noted already stays."""
        rows = [{"deployment": deployment, "model": model, "feedback": item} for item in items]
        if rows:
            with self._database.writing() as connection:
                connection.execute(insert_new(connection, candidate_feedback), rows)

    def count(self, deployment: str, model: str) -> int:
        """Return how many items are noted, retracted ones too."""
        query = select(func.count()).select_from(candidate_feedback).where(_of(deployment, model))
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()


def apply(connection: Connection, deployment: str, model: str) -> int:
    """Mark what a version has learned from as applied in it, and return how many items that were.

    One that was retracted or applied in another version meanwhile keeps what it says.
    """
    noted = select(candidate_feedback.c.feedback).where(_of(deployment, model))
    open_items = feedback.c.retracted_at.is_(None) & feedback.c.applied_in.is_(None)
    which = (feedback.c.id.in_(noted), open_items)
    add_learned(connection, counted_by(connection, model, which))
    change = update(feedback).where(*which)
    count = connection.execute(change.values(applied_in=model, learned=true())).rowcount
    connection.execute(delete(candidate_feedback).where(_of(deployment, model)))
    return count


def forget(connection: Connection, model: str) -> None:
    """Drop the notes about a version that is deleted."""
    connection.execute(delete(candidate_feedback).where(candidate_feedback.c.model == model))


def _of(deployment: str, model: str) -> ColumnElement[bool]:
    return and_(candidate_feedback.c.deployment == deployment, candidate_feedback.c.model == model)
