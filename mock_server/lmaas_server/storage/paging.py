"""Pages of a list: which rows come after an id, in the order of insertion; knows no noun.

The row of the id `after` is found in its unique index and the page is cut by a seek to its position, so that the
last page of a million rows costs what the first one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, select

from lmaas_server.errors import MissingError
from lmaas_server.records import PageRequest

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Page(Generic[ItemT]):
    """Some items of a list, and whether there are more after them."""

    items: tuple[ItemT, ...]
    has_more: bool


def fetch_page(
    connection: Connection,
    table: Table,
    query: Select[Any],
    page: PageRequest,
    *,
    anchor: ColumnElement[bool] | None,
) -> tuple[Sequence[RowMapping], bool]:
    """Return the rows of one page and whether there are more.

    Args:
        connection: An open transaction.
        table: What is listed; has a `position`.
        query: A select over `table`, with its filters.
        page: Which part is wanted.
        anchor: The condition that finds the row of `page.after`; None where no such id can exist.

    Raises:
        MissingError: `after_not_found`.
    """
    position = table.c.position
    if page.after is not None:
        start = None if anchor is None else connection.execute(select(position).where(anchor)).scalar()
        if start is None:
            raise MissingError(
                f"`after` is {page.after!r}, which is not in this list; give the `last_id` of the page before.",
                code="after_not_found",
                param="after",
            )
        query = query.where(position > start if page.order == "asc" else position < start)
    ordered = query.order_by(position.asc() if page.order == "asc" else position.desc()).limit(page.limit + 1)
    rows = connection.execute(ordered).mappings().all()
    return rows[: page.limit], len(rows) > page.limit
