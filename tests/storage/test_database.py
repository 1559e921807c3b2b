"""Connections: what is durable, who waits for whom."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from lmaas_server.storage import Database


def pragma(connection, name):
    return connection.execute(text(f"PRAGMA {name}")).scalar()


def test_a_durable_transaction_waits_for_the_disk_and_a_log_transaction_does_not(database):
    with database.writing() as connection:
        assert (pragma(connection, "synchronous"), pragma(connection, "journal_mode")) == (2, "wal")
    with database.writing(durable=False) as connection:
        assert (pragma(connection, "synchronous"), pragma(connection, "journal_mode")) == (1, "wal")


def test_the_log_is_carried_into_the_database_in_smaller_parts(database):
    with database.writing() as connection:
        assert pragma(connection, "wal_autocheckpoint") == 1000
    with database.writing(durable=False) as connection:
        assert pragma(connection, "wal_autocheckpoint") == 250


def test_a_reader_does_not_wait_for_a_writer_and_sees_the_state_before_it(storage, a_job):
    storage.jobs.add(a_job())
    with storage.database.writing() as connection:
        connection.execute(text("UPDATE jobs SET status = 'failed'"))
        assert storage.jobs.get("job-1").status == "queued"
    assert storage.jobs.get("job-1").status == "failed"


def test_an_error_takes_the_whole_transaction_back(storage, a_job):
    storage.jobs.add(a_job())

    def change_and_stumble():
        with storage.database.writing() as connection:
            connection.execute(text("UPDATE jobs SET status = 'failed'"))
            connection.execute(text("UPDATE nowhere SET status = 'failed'"))

    with pytest.raises(OperationalError, match="nowhere"):
        change_and_stumble()
    assert storage.jobs.get("job-1").status == "queued"


def test_writers_in_threads_and_in_two_databases_over_one_file_lose_nothing(tmp_path, storage, a_deployment):
    storage.deployments.create(a_deployment())
    second = Database(storage.database.url.render_as_string())

    def change(database):
        for _ in range(20):
            with database.writing(durable=False) as connection:
                value = connection.execute(text("SELECT revision FROM deployments")).scalar()
                connection.execute(text("UPDATE deployments SET revision = :n"), {"n": value + 1})

    threads = [threading.Thread(target=change, args=[d]) for d in (storage.database, second) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    second.close()
    assert storage.deployments.get("reader").revision == 121


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://somewhere/x"])
def test_a_url_that_cannot_be_served_is_refused_by_name(url):
    with pytest.raises(ValueError, match="database_url"):
        Database(url)
