"""What versions have learned from, by kind and source of feedback: kept in the transactions that change it.

A version that learned from half a million items is asked where it comes from as often as any other; nobody counts the
items then. Knows no feedback but what it is told of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from lmaas_server.storage.rows import upsert
from lmaas_server.storage.tables import feedback, learned_counts

__all__ = ["Learned", "add_learned", "counted_by", "learned_by"]

Learned = tuple[str, str, str | None]
"""The version, the kind and the source, which may be none."""

_COUNTS = learned_counts.c
_KEY = ("model", "kind", "named", "source")


def add_learned(connection: Connection, amounts: Mapping[Learned, int]) -> None:
    """Add to the counts, in the caller's transaction."""
    for (model, kind, source), amount in amounts.items():
        row = {"model": model, "kind": kind, "named": source is not None, "source": source or "", "items": amount}
        more = {"items": _COUNTS["items"] + amount}
        written = upsert(connection, learned_counts).values(row)
        connection.execute(written.on_conflict_do_update(index_elements=list(_KEY), set_=more))


def counted_by(connection: Connection, model: str, which: Sequence[ColumnElement[bool]]) -> dict[Learned, int]:
    """Return what is to be added where a version takes into account the items that meet the conditions."""
    columns = (feedback.c.kind, feedback.c.source)
    rows = connection.execute(select(*columns, func.count()).where(*which).group_by(*columns))
    return {(model, kind, source): count for kind, source, count in rows}


def learned_by(connection: Connection, model: str) -> list[tuple[str, str | None, int]]:
    """Return (kind, source, count) of what a version has learned from, which was not retracted since."""
    query = select(learned_counts).where(_COUNTS.model == model, _COUNTS["items"] > 0)
    rows: Any = connection.execute(query.order_by(_COUNTS.kind, _COUNTS.named, _COUNTS.source)).mappings()
    return [(row["kind"], row["source"] if row["named"] else None, row["items"]) for row in rows]
