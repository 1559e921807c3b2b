"""The schema: made at once, upgraded by Alembic, and the same either way."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy import inspect, text

from lmaas_server.storage import Database
from lmaas_server.storage.schema import HEAD, MIGRATIONS, bring_up_to_date, upgrade, version
from lmaas_server.storage.tables import metadata


def migrated(path):
    """A database that Alembic has made from nothing."""
    database = Database(f"sqlite:///{path}")
    with database.writing() as connection:
        upgrade(connection)
    return database


def test_the_migrations_lead_to_the_tables(tmp_path):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    database = migrated(tmp_path / "a.db")
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_a_migrated_and_a_fresh_database_have_the_same_indices(tmp_path):
    databases = [migrated(tmp_path / "a.db"), Database(f"sqlite:///{tmp_path / 'b.db'}")]
    databases[1].migrate()
    found = []
    for database in databases:
        with database.reading() as connection:
            rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'index'"))
            found.append({row.name: row.sql for row in rows})
        database.close()
    assert found[0] == found[1]


def test_the_newest_migration_is_the_one_the_server_stamps():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_the_first_migration_can_be_taken_back(tmp_path):
    from alembic import command
    from alembic.config import Config

    database = migrated(tmp_path / "a.db")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    database.close()


def test_migrating_twice_changes_nothing(database):
    database.migrate()
    with database.reading() as connection:
        assert version(connection) == HEAD


def test_a_database_of_a_newer_server_is_refused(database):
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RuntimeError, match=r"'9999'.*newer server"), database.writing() as connection:
        bring_up_to_date(connection)


def test_start_up_never_imports_alembic(tmp_path):
    program = (
        "import sys; from lmaas_server.storage import Database;"
        f"[Database('sqlite:///{tmp_path}/x.db').migrate() for _ in range(2)];"
        "sys.exit('alembic' in sys.modules or 'sqlalchemy.orm' in sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
