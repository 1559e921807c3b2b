"""Figures kept in the transactions that change them, so that nobody counts a million rows; knows no noun's rows."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select

from lmaas_server.storage.rows import upsert
from lmaas_server.storage.tables import counters


def add_to(connection: Connection, noun: str, amounts: Mapping[str, int]) -> None:
    """Add to the figures of `noun`, by owner, in the caller's transaction."""
    for owner, amount in amounts.items():
        row = upsert(connection, counters).values(noun=noun, owner=owner, value=amount)
        more = {"value": counters.c.value + amount}
        connection.execute(row.on_conflict_do_update(index_elements=["noun", "owner"], set_=more))


def counted(connection: Connection, noun: str, owner: str) -> int:
    """Return a figure; 0 if nothing was ever added to it."""
    query = select(counters.c.value).where(counters.c.noun == noun, counters.c.owner == owner)
    return connection.execute(query).scalar() or 0
