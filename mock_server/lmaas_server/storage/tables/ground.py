"""What all tables stand on: one metadata, a column of JSON, the position of a row. Knows no table."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Text, TextClause, event
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_WHERE = "where"
BigInt = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the primary key is spelt INTEGER."""


class Json(TypeDecorator[Any]):
    """A JSON value as text, by orjson; a NULL is None."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Python to text."""
        return None if value is None else orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Text to Python."""
        return None if value is None else orjson.loads(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def only(where: TextClause) -> dict[str, Any]:
    """Return what makes an index one of the rows for which `where` holds."""
    return {"sqlite_where": where, "info": {_WHERE: where}}


@event.listens_for(metadata, "before_create")
def _say_it_to_postgresql(_metadata: MetaData, connection: Connection, **_: Any) -> None:
    # `postgresql_where=` imports that dialect, a twentieth of the time to start, for whoever serves SQLite.
    if connection.dialect.name == "postgresql":
        for table in metadata.tables.values():
            for index in table.indexes:
                index.dialect_options["postgresql"]["where"] = index.info.get(_WHERE)


def position() -> Column[int]:
    """Return the column that numbers the rows in the order of insertion."""
    return Column("position", BigInt, primary_key=True, autoincrement=True)
