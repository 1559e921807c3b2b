"""Figures kept in the transactions that change them, so that nobody counts a million rows; knows no noun's rows."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Dialect, select

from lmaas_server.storage.rows import insert_into
from lmaas_server.storage.tables import counters


def add_to(connection: Connection, noun: str, amounts: Mapping[str, int]) -> None:
    """Add to the figures of `noun`, by owner, in the caller's transaction."""
    if amounts:
        rows = [{"noun": noun, "owner": owner, "value": amount} for owner, amount in amounts.items()]
        connection.execute(_adding(connection.dialect), rows)


@functools.cache
def _adding(dialect: Dialect) -> Any:
    """Return the statement, which is made once: putting it together costs more than its execution."""
    insert = insert_into(counters, dialect)
    more = {"value": counters.c.value + insert.excluded.value}
    return insert.on_conflict_do_update(index_elements=["noun", "owner"], set_=more)


def counted(connection: Connection, noun: str, owner: str) -> int:
    """Return a figure; 0 if nothing was ever added to it."""
    query = select(counters.c.value).where(counters.c.noun == noun, counters.c.owner == owner)
    return connection.execute(query).scalar() or 0
