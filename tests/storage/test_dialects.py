"""Tables in the words of a database that is not served yet."""

from __future__ import annotations

from sqlalchemy import create_mock_engine

from lmaas_server.storage.tables import metadata


def test_indices_of_some_rows_are_so_in_postgresql_too() -> None:
    """One update at a time, and not one update for ever, which is what the index says without its condition."""
    said: list[str] = []
    engine = create_mock_engine(
        "postgresql://", lambda sql, *_, **__: said.append(str(sql.compile(dialect=engine.dialect)))
    )
    metadata.create_all(engine, checkfirst=False)
    (index,) = (sql for sql in said if "uq_jobs_open_update" in sql)
    assert "WHERE type = 'update'" in index
