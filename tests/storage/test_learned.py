"""What versions have learned from: the figures that are kept are those that counting would give."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from lmaas_server.storage import Database, Storage
from lmaas_server.storage.schema import HEAD, MIGRATIONS, version

STEPS = st.one_of(
    st.tuples(st.just("apply"), st.lists(st.integers(0, 11), max_size=5), st.sampled_from(["digits@1", "digits@2"])),
    st.tuples(st.just("retract"), st.integers(0, 11), st.none()),
    st.tuples(st.just("promote"), st.lists(st.integers(0, 11), max_size=5), st.sampled_from(["digits@3"])),
)


@pytest.fixture
def fresh(tmp_path_factory):
    """A database of its own, as often as it is asked for."""
    opened: list[Database] = []

    def make() -> Storage:
        opened.append(Database(f"sqlite:///{tmp_path_factory.mktemp('learned') / 'lmaas.db'}"))
        opened[-1].migrate()
        return Storage(opened[-1])

    yield make
    for database in opened:
        database.close()


def counted(storage: Storage, model: str):
    """The same by counting every row."""
    rows = text("SELECT kind, source FROM feedback WHERE applied_in = :model AND retracted_at IS NULL")
    with storage.database.reading() as connection:
        found = Counter((row.kind, row.source) for row in connection.execute(rows, {"model": model}))
    return {(kind, source, count) for (kind, source), count in found.items()}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=12))
def test_figures_follow_whatever_happens_to_feedback(fresh, an_item, a_deployment, steps):
    storage = fresh()
    deployment = storage.deployments.create(a_deployment())
    kinds, sources = ("label", "rating"), (None, "", "ann")
    storage.feedback.add_many(
        [
            an_item(n, kind=kinds[n % 2], source=sources[n % 3], applied_in="digits@1" if n > 9 else None)
            for n in range(12)
        ]
    )
    for step, which, model in steps:
        if step == "retract":
            storage.feedback.delete(f"fb-{which}", now=2.0)
        elif step == "apply":
            storage.feedback.mark_applied([f"fb-{n}" for n in which], model)
        else:
            storage.candidates.note("reader", model, [f"fb-{n}" for n in which])
            variants = [{"model": model, "weight": 1.0, "role": "champion"}]
            storage.deployments.set_variants("reader", variants, reason="Promoted.", now=3.0)
    for model in ("digits@1", "digits@2", "digits@3"):
        assert set(storage.feedback.tally(model)) == counted(storage, model)
    assert deployment.name == "reader"


def test_an_old_database_is_counted_once_when_it_is_upgraded(tmp_path, storage, database, an_item):
    from alembic import command
    from alembic.config import Config

    storage.feedback.add_many([an_item(n, source="ann" if n % 2 else None) for n in range(5)])
    storage.feedback.mark_applied([f"fb-{n}" for n in range(4)], "digits@2")
    storage.feedback.delete("fb-0", now=2.0)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0005")
    database.migrate()
    with database.reading() as connection:
        assert version(connection) == HEAD
    assert storage.feedback.tally("digits@2") == [("label", None, 1), ("label", "ann", 2)]


def test_deployments_are_found_by_the_version_and_by_no_other_that_looks_like_it(storage, a_deployment):
    for name, model in (("a", "digits@1"), ("b", "digits@10"), ("c", "my_digits@1"), ("d", "myxdigits@1")):
        storage.deployments.create(a_deployment(name, variants=({"model": model, "weight": 1.0, "role": "champion"},)))
    assert storage.deployments.serving("digits@1") == ["a"]
    assert storage.deployments.serving("my_digits@1") == ["c"]
    assert storage.deployments.serving("none@1") == []
