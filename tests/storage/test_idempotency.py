"""Idempotency keys: begun, answered, replayed, given back."""

from __future__ import annotations

import pytest

from lmaas_server.errors import ConflictError
from lmaas_server.storage import Begun, Replay
from lmaas_server.storage.idempotency import IdempotencyRepository


def test_a_key_is_new_once_and_then_gives_the_first_answer(storage):
    assert storage.idempotency.begin("key", "body", 1.0) == Begun()
    storage.idempotency.finish("key", 201, {"Location": "/x"}, b"{}")
    assert storage.idempotency.begin("key", "body", 2.0) == Replay(201, {"Location": "/x"}, b"{}")


def test_a_key_whose_first_request_runs_is_a_conflict_that_will_pass(storage):
    storage.idempotency.begin("key", "body", 1.0)
    with pytest.raises(ConflictError) as caught:
        storage.idempotency.begin("key", "body", 1.0)
    assert (caught.value.code, caught.value.retryable) == ("request_in_progress", True)


def test_a_key_with_another_body_is_a_conflict_that_stays(storage):
    storage.idempotency.begin("key", "body", 1.0)
    with pytest.raises(ConflictError) as caught:
        storage.idempotency.begin("key", "other", 1.0)
    assert (caught.value.code, caught.value.retryable) == ("idempotency_key_reused", False)


def test_a_key_can_be_given_back_until_it_is_answered(storage):
    storage.idempotency.begin("key", "body", 1.0)
    storage.idempotency.abandon("key")
    assert storage.idempotency.begin("key", "body", 1.0) == Begun()
    storage.idempotency.finish("key", 200, {}, b"")
    storage.idempotency.abandon("key")
    assert storage.idempotency.begin("key", "body", 1.0) == Replay(200)


def test_a_restart_gives_back_what_was_never_answered_and_a_purge_what_is_old(storage):
    for key, now in (("open", 5.0), ("old", 1.0), ("new", 5.0)):
        storage.idempotency.begin(key, "body", now)
    storage.idempotency.finish("old", 200, {}, b"")
    storage.idempotency.finish("new", 200, {}, b"")
    assert (storage.idempotency.forget_unfinished(), storage.idempotency.purge(2.0)) == (1, 1)
    assert storage.idempotency.begin("new", "body", 9.0) == Replay(200)


def test_keys_of_a_dead_process_are_given_back_and_those_of_the_living_are_not(storage):
    dead, living = (IdempotencyRepository(storage.database, owner=name) for name in ("dead", "living"))
    dead.begin("a", "f", 1.0)
    dead.begin("answered", "f", 1.0)
    dead.finish("answered", 200, {}, b"{}")
    living.begin("b", "f", 1.0)
    assert living.forget_unfinished(["dead"]) == 1
    assert living.begin("a", "f", 2.0) == Begun()
    assert living.begin("answered", "f", 2.0) == Replay(200, {}, b"{}")
    with pytest.raises(ConflictError):
        living.begin("b", "f", 2.0)
