"""The version of the schema: makes a new database, upgrades an old one; knows no records.

A current database costs one SELECT and a new one its CREATE statements. Only an old one pays for importing Alembic
(0.2 s), whose migrations lead to the same tables: a test compares them.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from lmaas_server.storage.tables import metadata

HEAD = "0006"
"""The newest migration; a test holds it equal to what Alembic finds."""

MIGRATIONS = Path(__file__).parent / "migrations"


def version(connection: Connection) -> str | None:
    """Return the migration a database is at; None for one that is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def bring_up_to_date(connection: Connection) -> None:
    """Make the schema current inside the caller's transaction."""
    found = version(connection)
    if found == HEAD:
        return
    if found is None:
        metadata.create_all(connection)
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
        return
    upgrade(connection)


def upgrade(connection: Connection, to: str = "head") -> None:
    """Run the migrations that are missing, by Alembic."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
    except CommandError as exc:
        raise RuntimeError(
            f"The database is at schema version {version(connection)!r}, which this server does not know ({exc}); "
            f"it knows versions up to {HEAD!r}: start the newer server that wrote it."
        ) from exc
