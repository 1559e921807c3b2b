"""Between rows and records: columns by field name; knows no noun."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

RecordT = TypeVar("RecordT")

_INSERT: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


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


def upsert(connection: Connection, table: Table) -> Any:
    """Return an insert that knows ON CONFLICT, in the dialect at hand."""
    return _INSERT[connection.dialect.name](table)


def insert_new(connection: Connection, table: Table) -> Any:
    """Return an insert that leaves alone a row whose unique key is there already."""
    return upsert(connection, table).on_conflict_do_nothing()
