"""Between rows and records: columns by field name; knows no noun."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Dialect, Table
from sqlalchemy.dialects import sqlite

RecordT = TypeVar("RecordT")

_MOST_TOGETHER = 64
"""Records in one statement."""


def _postgresql(table: Table) -> Any:
    from sqlalchemy.dialects import postgresql  # as much to import as Flask's routing, for who serves SQLite

    return postgresql.insert(table)


_INSERT: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": _postgresql}


def columns_of(table: Table, record: type[Any]) -> list[Column[Any]]:
    """Return the columns that hold the fields of a record, in their order; fields kept elsewhere are left out."""
    return [table.c[field.name] for field in dataclasses.fields(record) if field.name in table.c]


def record_from(record: type[RecordT], row: Mapping[Any, Any], **more: Any) -> RecordT:
    """Build a record from a row of its columns and the fields that are kept elsewhere."""
    return record(**{str(name): value for name, value in row.items()}, **more)


def values_of(record: Any) -> dict[str, Any]:
    """Return the fields of a record as column values."""
    kind: Any = type(record)  # as `type[Any]` mypy doubts that it can be hashed
    return {name: getattr(record, name) for name in _names(kind)}


@functools.cache
def _names(record: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(record))


def insert_into(table: Table, dialect: Dialect) -> Any:
    """Return an insert that knows ON CONFLICT, in a dialect."""
    return _INSERT[dialect.name](table)


def upsert(connection: Connection, table: Table) -> Any:
    """Return the same in the dialect at hand."""
    return insert_into(table, connection.dialect)


def insert_new(connection: Connection, table: Table) -> Any:
    """Return an insert that leaves alone a row whose unique key is there already."""
    return upsert(connection, table).on_conflict_do_nothing()


@functools.cache
def _written_out(
    table: Table, kind: type[Any], dialect: Dialect, count: int
) -> tuple[str, Callable[[Any], tuple[Any, ...]]]:
    """Return the insert of the columns of so many records as text, and what makes a record its parameters."""
    known = set(columns_of(table, kind))
    columns = [column for column in table.c if column in known]  # in the order of the statement
    insert = insert_into(table, dialect).on_conflict_do_nothing()
    text = str(insert.compile(dialect=dialect, column_keys=[column.name for column in columns]))
    row = f"({', '.join('?' * len(columns))})"
    text = text.replace(row, ", ".join([row] * count))
    made = [(column.name, column.type.dialect_impl(dialect).bind_processor(dialect)) for column in columns]

    def parameters(record: Any) -> tuple[Any, ...]:
        return tuple([getattr(record, name) if of is None else of(getattr(record, name)) for name, of in made])

    return text, parameters


def insert_many_new(connection: Connection, table: Table, records: Sequence[Any]) -> int:
    """Insert records of one kind but those whose unique key is there already; return how many were new.

    The statement is written out once and no row passes SQLAlchemy: for a log, whose rows are many and alike, that is
    a third of the time. Many rows are one statement: with each the driver lets go of the interpreter, and wants it back
    from whoever answers requests meanwhile.
    """
    kind: Any = type(records[0])  # as `type[Any]` mypy doubts that it can be hashed
    new, at = 0, 0
    while at < len(records):
        # A power of two, so that there are few statements to keep.
        count = min(_MOST_TOGETHER, 1 << (len(records) - at).bit_length() - 1)
        text, parameters = _written_out(table, kind, connection.dialect, count)
        given = [value for record in records[at : at + count] for value in parameters(record)]
        new += connection.exec_driver_sql(text, tuple(given)).rowcount
        at += count
    return new
