"""Deployments: every change of the variants is a revision, made once."""

from __future__ import annotations

import pytest

from lmaas_server.errors import ConflictError, MissingError
from lmaas_server.records import PageRequest
from lmaas_server.storage.deployment_events import Happening

NEW = [{"model": "digits@2", "weight": 1.0, "role": "champion"}]


def test_a_name_is_taken_except_for_the_request_that_took_it(storage, a_deployment):
    first = storage.deployments.create(a_deployment(request_key="key"))
    assert storage.deployments.create(a_deployment(request_key="key", created_at=9.0)) == first
    with pytest.raises(ConflictError) as caught:
        storage.deployments.create(a_deployment(request_key="other"))
    assert (caught.value.code, len(storage.deployments.revisions("reader"))) == ("deployment_exists", 1)


def test_new_variants_make_a_revision_once_per_request_key(storage, a_deployment):
    storage.deployments.create(a_deployment())
    for _ in range(2):
        changed = storage.deployments.set_variants("reader", NEW, reason="better", now=2.0, request_key="key")
    assert (changed.revision, changed.variants) == (2, tuple(NEW))
    assert storage.deployments.made_by("reader", "key") == 2
    assert [(r.revision, r.reason) for r in storage.deployments.revisions("reader")] == [(2, "better"), (1, "Created.")]


def test_an_event_and_the_feedback_of_a_new_champion_come_with_its_revision(storage, a_deployment, an_item):
    storage.deployments.create(a_deployment())
    storage.feedback.add_many([an_item(number) for number in range(4)])
    storage.candidates.note("reader", "digits@2", ["fb-0", "fb-1", "fb-2"])
    storage.candidates.note("writer", "digits@2", ["fb-3"])
    storage.feedback.delete("fb-1", now=2.0)
    happening = Happening(type="promotion", message="It leads.", data={"model": "digits@2"})
    storage.deployments.set_variants("reader", NEW, reason="better", now=3.0, cause="promotion", happening=happening)
    (event,) = storage.deployment_events.events("reader")
    assert event.data == {"model": "digits@2", "revision": 2, "feedback_applied": 2}
    assert [item.id for item in storage.feedback.pending("reader")] == ["fb-3"]
    assert storage.deployments.revisions("reader")[0].cause == "promotion"


def test_what_a_deleted_candidate_learned_from_is_forgotten(storage):
    facts = {"task": "x", "architecture": {}, "parameters": 1, "bytes": 1, "sha256": "0", "metrics": {}}
    storage.models.add_version("digits", **facts, input={}, target={}, lineage={}, created_at=1.0)
    storage.candidates.note("reader", "digits@1", ["fb-0", "fb-0", "fb-1"])
    assert storage.candidates.count("reader", "digits@1") == 2
    storage.models.delete("digits@1")
    assert storage.candidates.count("reader", "digits@1") == 0


def test_a_change_of_another_revision_than_the_caller_saw_is_refused(storage, a_deployment):
    storage.deployments.create(a_deployment())
    storage.deployments.set_variants("reader", NEW, reason="better", now=2.0, if_revision=1)
    with pytest.raises(ConflictError, match="at revision 2, not 1"):
        storage.deployments.set_variants("reader", NEW, reason="better", now=2.0, if_revision=1)


def test_every_change_is_counted_for_those_who_keep_a_copy(storage, a_deployment):
    before = (storage.deployments.generation, storage.deployments.changes())
    storage.deployments.create(a_deployment())
    storage.deployments.set_variants("reader", NEW, reason="better", now=2.0)
    storage.deployments.set_status("reader", "failed", error={"code": "x"})
    storage.deployments.delete("reader")
    assert before == (0, 0)
    assert (storage.deployments.generation, storage.deployments.changes()) == (4, 4)


def test_a_name_used_again_begins_with_a_new_history(storage, a_deployment):
    storage.deployments.create(a_deployment())
    storage.deployments.set_variants("reader", NEW, reason="better", now=2.0)
    assert storage.deployments.delete("reader")
    assert not storage.deployments.delete("reader")
    storage.deployments.create(a_deployment())
    assert [r.revision for r in storage.deployments.revisions("reader")] == [1]


def test_a_deployment_that_is_not_there_cannot_be_changed(storage):
    with pytest.raises(MissingError, match="no deployment 'nobody'"):
        storage.deployments.update("nobody", batching={})


def test_only_what_makes_no_revision_is_updated_in_place(storage):
    with pytest.raises(ValueError, match="variants"):
        storage.deployments.update("reader", variants=[])


def test_deployments_are_listed_and_found_by_what_they_serve(storage, a_deployment):
    for name in ("a", "b", "c"):
        storage.deployments.create(a_deployment(name))
    storage.deployments.set_variants("b", NEW, reason="better", now=2.0)
    assert [d.name for d in storage.deployments.page(PageRequest(after="c")).items] == ["b", "a"]
    assert storage.deployments.serving("digits@1") == ["a", "c"]
