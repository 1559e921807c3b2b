"""How well and how ill feedback speaks of versions, counted; knows nothing of what follows from it.

What is counted are rows: what was retracted is not among them, and nothing is lost with a process.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, func, select

from lmaas_server.storage.database import Database
from lmaas_server.storage.tables import feedback


class VerdictRepository:
    """Verdicts on what versions have predicted."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def position(self, deployment: str, model: str, *, kind: str, since: float, count: int) -> int | None:
        """Return the position of the verdict that was the `count`th to come; None while there are fewer.

        Args:
            deployment: Where the predictions were made.
            model: The version that made them.
            kind: Of the feedback: `label` or `rating`.
            since: Only on predictions made from this moment on.
            count: From 1.
        """
        about = _about(deployment, model, kind=kind, since=since)
        query = select(feedback.c.position).where(about).order_by(feedback.c.position).offset(count - 1).limit(1)
        with self._database.reading() as connection:
            return connection.execute(query).scalar()

    def count(self, deployment: str, model: str, *, kind: str, since: float, until: int) -> tuple[int, int]:
        """Return how many verdicts up to the position `until` are good, and how many bad."""
        about = and_(_about(deployment, model, kind=kind, since=since), feedback.c.position <= until)
        query = select(feedback.c.verdict, func.count()).where(about).group_by(feedback.c.verdict)
        with self._database.reading() as connection:
            found = {bool(verdict): number for verdict, number in connection.execute(query)}
        return found.get(True, 0), found.get(False, 0)


def _about(deployment: str, model: str, *, kind: str, since: float) -> ColumnElement[bool]:
    """The condition that the index of verdicts answers."""
    return and_(
        feedback.c.deployment == deployment,
        feedback.c.model == model,
        feedback.c.kind == kind,
        feedback.c.predicted_at >= since,
        feedback.c.retracted_at.is_(None),
        feedback.c.verdict.is_not(None),
    )
