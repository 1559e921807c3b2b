"""What stays in memory: who serves, and whom a rollback brings back, so that it is at once and to the bit."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pytest

from lmaas_server.app import create_app, server_of
from lmaas_server.services.keeping import ONE_ROLLBACK_AWAY, SERVES, Keeping
from lmaas_server.services.predictors import Predictors
from lmaas_server.services.revising import SERVER
from lmaas_server.settings import Settings

NPY = "application/x-npy"


@dataclass
class Sized:
    """As much of a predictor as its place in memory needs."""

    bytes: int


class Shelf:
    """Every version there is, of the size its number says."""

    def get(self, model):
        return model


@pytest.fixture
def both(deployed, server, other_classifier):
    """`d` serves `blobs@1`; `blobs@2` to `blobs@4` have other weights."""
    for _ in range(3):
        other_classifier.register(server)
    return deployed


def predictors(budget, dear):
    class Storage:
        models = Shelf()

    return Predictors(Storage(), lambda model: Sized(int(model.partition("@")[2])), budget=budget, dear=lambda: dear)


def loaded(some):
    return set(some._loaded)


def change(http, model):
    assert http.patch("/v1/deployments/d", json={"model": model}).status_code == 200


def bits(http):
    """The probabilities of 50 rows, as bytes."""
    x = np.random.default_rng(5).normal(size=(50, 4)).astype(np.float32) * 2
    buffer = io.BytesIO()
    np.save(buffer, x)
    headers = {"Accept": NPY}
    answer = http.post("/v1/deployments/d/predictions", data=buffer.getvalue(), content_type=NPY, headers=headers)
    assert answer.status_code == 200
    return answer.data


def test_the_longest_unused_go_first():
    some = predictors(6, {})
    for model in ("a@2", "b@2", "c@2", "a@2", "d@2"):
        some.get(model)
    assert loaded(some) == {"a@2", "c@2", "d@2"}


def test_what_serves_stays_the_longest_and_what_is_a_rollback_away_longer_than_the_rest():
    some = predictors(8, {"serves@2": SERVES, "behind@2": ONE_ROLLBACK_AWAY})
    for model in ("serves@2", "behind@2", "rest@2", "new@2"):
        some.get(model)
    some.get("more@2")
    assert loaded(some) == {"serves@2", "behind@2", "new@2", "more@2"}
    some.get("large@5")
    assert loaded(some) == {"serves@2", "large@5"}


def test_what_is_loaded_last_stays_though_it_alone_is_too_large():
    some = predictors(3, {"serves@2": SERVES})
    some.get("serves@2")
    some.get("huge@9")
    assert loaded(some) == {"huge@9"}


def test_versions_that_serve_and_those_behind_them_are_dear(both, http, server):
    keeping = Keeping(server.storage)
    assert keeping.dear() == {"blobs@1": SERVES}
    change(http, "blobs@2")
    assert keeping.dear() == {"blobs@2": SERVES, "blobs@1": ONE_ROLLBACK_AWAY}
    change(http, "blobs@3")
    assert keeping.dear() == {"blobs@3": SERVES, "blobs@2": ONE_ROLLBACK_AWAY}
    assert keeping.behind("blobs@3") == {"blobs@2"}


def test_a_canary_that_was_taken_back_is_not_kept(both, http, server):
    canary = [{"model": "blobs@1", "weight": 0.9}, {"model": "blobs@2", "weight": 0.1, "role": "canary"}]
    http.patch("/v1/deployments/d", json={"variants": canary})
    server.deploying.rollback("d", reason="worse", actor=SERVER)
    assert Keeping(server.storage).dear() == {"blobs@1": SERVES}


def test_a_rollback_uses_the_predictor_that_answered_before_and_gives_the_same_bits(both, http, server):
    before, predictor = bits(http), server.predictors.get("blobs@1")
    change(http, "blobs@2")
    assert bits(http) != before
    http.post("/v1/deployments/d/rollback", json={})
    assert bits(http) == before
    assert server.predictors.get("blobs@1") is predictor


def test_a_rollback_gives_the_same_bits_though_the_version_had_to_be_loaded_again(both, http, server):
    before = bits(http)
    change(http, "blobs@2")
    server.predictors._loaded.clear()
    http.post("/v1/deployments/d/rollback", json={})
    assert "blobs@1" in loaded(server.predictors)  # before anybody asked
    assert bits(http) == before


def test_after_a_restart_what_a_rollback_brings_back_is_loaded_once_the_champion_is(both, http, server, settings):
    change(http, "blobs@2")
    server.close()
    again = create_app(Settings(**settings))
    server_of(again).start()
    answer = again.test_client().post("/v1/deployments/d/predictions", json={"inputs": both.rows()})
    assert answer.json["model"] == "blobs@2"
    both.wait_for(lambda: loaded(server_of(again).predictors) == {"blobs@1", "blobs@2"})
    server_of(again).close()
