"""Which feedback an update takes, which it leaves for the next, and what it never learns from again."""

from __future__ import annotations

import dataclasses

import orjson
import pytest

from lmaas.types import MLP, Gate, TrainingRequest, UpdateRequest
from lmaas_server.records import PageRequest

OPEN = Gate(enabled=False)


@pytest.fixture
def trained(workshop):
    """A workshop with the version m@1 behind the deployment reader."""
    request = TrainingRequest(dataset="ds-1", name="m", architecture=MLP(hidden=(8,)), seed=3, batch_size=32, epochs=8)
    workshop.until(workshop.training.create(request).id, "succeeded")
    workshop.deploy("m@1")
    return workshop


def updated(world, **request):
    """Run an update to its end."""
    job = world.updating.create(UpdateRequest(deployment="reader", **request))
    world.until(job.id, "succeeded")
    return world.jobs.get(job.id)


def everything(world, **filters):
    return world.storage.feedback.page(PageRequest(limit=1000, order="asc"), **filters).items


def tell(world, *, source=None, value=None, tag="", items=None):
    """Say the same again in other words: under new ids, from a source, of a value."""
    items = everything(world) if items is None else items
    change = {name: given for name, given in (("source", source), ("value", value)) if given is not None}
    said = [dataclasses.replace(item, id=f"{item.id}{tag}", **change) for item in items]
    world.storage.feedback.add_many(said)
    return [item.id for item in said]


def known_to(world, model):
    """The classes of a version, and what it remembers."""
    record = world.storage.models.resolve(model)
    config = world.artifacts.path(f"models/{record.name}/{record.version}/bundle.json")
    return record.target["classes"], set(orjson.loads(config.read_bytes())["buffers"]["reservoir_ids"])


def test_what_is_beyond_a_source_s_share_is_reported_and_waits_for_the_next_update(trained):
    trained.tell(300)
    items = everything(trained)
    few = tell(trained, source="ann", tag="-ann", items=items[:40])
    for item in items[:40]:
        trained.storage.feedback.delete(item.id, now=1.0)
    with trained.storage.database.writing() as connection:
        connection.exec_driver_sql("UPDATE feedback SET source = 'loud' WHERE source IS NULL AND retracted_at IS NULL")
    job = updated(trained, strategy="finetune", gate=OPEN)
    waiting = trained.storage.feedback.pending("reader")
    assert job.result["capped"] == {"loud": len(waiting)}
    assert {item.source for item in waiting} == {"loud"}
    assert len(waiting) > 150
    assert set(few) <= {item.id for item in everything(trained, applied="m@2")}
    assert "capped_ids" not in job.result


def test_the_latest_statement_of_a_source_wins_and_the_result_counts_the_other(trained):
    trained.tell()
    before = everything(trained)
    tell(trained, tag="-later", value=1, items=before[:30])
    job = updated(trained, strategy="finetune", gate=OPEN)
    assert job.result["contradictions"] == 30
    assert not {item.id for item in before[:30]} & known_to(trained, "m@2")[1]


def test_what_was_retracted_before_it_was_learned_is_never_learned(trained):
    trained.tell()
    gone = [item.id for item in everything(trained)[:50]]
    for id in gone:
        trained.storage.feedback.delete(id, now=1.0)
    updated(trained, strategy="finetune", gate=OPEN)
    assert not set(gone) & known_to(trained, "m@2")[1]
    assert {item.applied_in for item in everything(trained)} == {"m@2"}


def test_a_retraining_forgets_the_class_that_only_retracted_feedback_named(trained):
    trained.tell()
    new = tell(trained, tag="-new", value=7, items=everything(trained)[:40])
    updated(trained, strategy="finetune", gate=OPEN)
    classes, remembered = known_to(trained, "m@2")
    assert classes == [0, 1, 7]
    assert set(new) & remembered
    for id in new:
        trained.storage.feedback.delete(id, now=2.0)
    job = updated(trained, strategy="retrain", gate=OPEN)  # nothing is new, and yet there is something to do
    classes, remembered = known_to(trained, "m@3")
    assert (job.model, classes) == ("m@3", [0, 1])
    assert not set(new) & remembered


def test_a_retraining_is_told_what_earlier_updates_have_learned(trained):
    trained.tell()
    first = updated(trained, strategy="finetune", gate=OPEN)
    again = updated(trained, strategy="retrain", gate=OPEN)
    assert again.result["feedback_used"] == first.result["feedback_used"]
    assert {item.applied_in for item in everything(trained)} == {"m@2"}  # where it was learned first


def test_a_retraining_of_a_model_that_never_learned_from_feedback_is_held(trained):
    assert updated(trained, strategy="retrain", gate=OPEN).result["reason"] == "insufficient_evidence"
