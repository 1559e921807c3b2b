"""Pages: complete, in order, and as cheap at the end as at the beginning."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from lmaas_server.errors import MissingError
from lmaas_server.records import PageRequest
from lmaas_server.storage import Database, Storage

SHARED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('many') / 'lmaas.db'}")
    database.migrate()
    with database.writing() as connection:
        connection.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
                'INSERT INTO predictions (id, deployment, model, outputs, "rows", created_at) '
                "SELECT 'pred-' || i, 'd' || (i % 3), 'm@1', '[]', 1, 0 FROM n"
            )
        )
    yield Storage(database)
    database.close()


@SHARED
@given(limit=st.integers(1, 8), order=st.sampled_from(["asc", "desc"]), count=st.integers(0, 20))
def test_pages_one_after_the_other_are_the_whole_list(storage, a_job, limit, order, count):
    for number in range(count):
        storage.jobs.add(a_job(number))
    expected = [job.id for job in storage.jobs.page(PageRequest(limit=1000, order=order)).items]
    found, after, more = [], None, True
    while more:
        page = storage.jobs.page(PageRequest(after=after, limit=limit, order=order))
        found += [job.id for job in page.items]
        after, more = found[-1] if found else None, page.has_more
    assert found == expected


def test_an_after_that_is_not_in_the_list_is_refused(storage):
    with pytest.raises(MissingError) as caught:
        storage.jobs.page(PageRequest(after="job-nowhere"))
    assert (caught.value.code, caught.value.param) == ("after_not_found", "after")


def test_items_created_in_the_same_moment_keep_the_order_they_came_in(storage, an_item):
    storage.feedback.add_many([an_item(number) for number in (7, 3, 9, 1)])
    page = storage.feedback.page(PageRequest(order="asc"))
    assert [item.id for item in page.items] == ["fb-7", "fb-3", "fb-9", "fb-1"]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("deployment", [None, "d1"])
def test_the_middle_of_a_long_list_is_found_by_a_seek(many, order, deployment):
    ran = []
    with many.database._durable.connect() as connection:
        connection.connection.driver_connection.set_progress_handler(lambda: ran.append(1) or 0, 100)
    many.predictions.page(PageRequest(after="pred-50000", order=order), deployment=deployment)
    with many.database._durable.connect() as connection:
        connection.connection.driver_connection.set_progress_handler(None, 0)
    assert 0 < len(ran) < 50  # 5,000 steps of SQLite's machine; reading past 50,000 rows would take 300,000


LISTINGS = {
    "jobs by status": "SELECT * FROM jobs WHERE status = 'queued' ORDER BY position LIMIT 1",
    "jobs of a deployment": "SELECT * FROM jobs WHERE deployment = 'd' AND position < 9 ORDER BY position DESC",
    "feedback of a prediction": (
        "SELECT * FROM feedback WHERE retracted_at IS NULL AND prediction_id = 'p' ORDER BY position DESC LIMIT 21"
    ),
    "pending feedback": (
        "SELECT * FROM feedback WHERE retracted_at IS NULL AND learned = false AND deployment = 'd' ORDER BY position"
    ),
    "feedback that was applied": (
        "SELECT * FROM feedback WHERE retracted_at IS NULL AND learned = true ORDER BY position DESC LIMIT 21"
    ),
    "feedback applied in": (
        "SELECT * FROM feedback WHERE retracted_at IS NULL AND applied_in = 'm@1' ORDER BY position LIMIT 21"
    ),
    "versions of a model": "SELECT * FROM models WHERE name = 'm' ORDER BY version DESC LIMIT 1",
}


@pytest.mark.parametrize("query", LISTINGS.values(), ids=LISTINGS)
def test_a_listing_neither_scans_nor_sorts(storage, query):
    with storage.database.reading() as connection:
        plan = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
    assert [step for step in plan if step.startswith("SCAN") or "TEMP B-TREE" in step] == []
