"""Promotion and rollback over HTTP: by whom, why, of which version, and what becomes of the feedback."""

from __future__ import annotations

import pytest

from lmaas_server.records import JobRecord
from lmaas_server.services.revising import SERVER

CANARY = [{"model": "blobs@1", "weight": 0.9}, {"model": "blobs@2", "weight": 0.1, "role": "canary"}]


@pytest.fixture
def both(deployed, server, other_classifier):
    """`d` serves `blobs@1`; `blobs@2` and `blobs@3` have other weights."""
    other_classifier.register(server)
    other_classifier.register(server)
    return deployed


@pytest.fixture
def canary(both, http):
    """`blobs@2` is the canary of `d`, at its second revision."""
    assert http.patch("/v1/deployments/d", json={"variants": CANARY}).status_code == 200
    return both


def promote(http, **body):
    return http.post("/v1/deployments/d/promote", json=body)


def rollback(http, **body):
    return http.post("/v1/deployments/d/rollback", json=body).json


def roles(deployment):
    return [(v["model"], v["role"], v["weight"]) for v in deployment["variants"]]


def code(answer):
    return answer.status_code, answer.json["error"]["code"]


def waits(server, model, *, number, champion="blobs@1", promote="manual"):
    """An update that has made a candidate."""
    record = JobRecord(
        id=f"job-{number}",
        type="update",
        status="succeeded",
        created_at=float(number),
        request={"deployment": "d", "promote": promote},
        seed=0,
        deployment="d",
        result={"candidate": model, "champion": champion, "promoted": False},
    )
    server.storage.jobs.add(record)


def test_the_only_canary_is_promoted_where_no_version_is_named(canary, http):
    seen = promote(http, reason="proven").json
    assert (roles(seen), seen["revision"]) == ([("blobs@2", "champion", 1.0)], 3)
    assert {canary.predict(user=f"u{n}").json["model"] for n in range(20)} == {"blobs@2"}
    last = http.get("/v1/deployments/d/revisions").json["data"][0]
    assert (last["actor"], last["cause"], last["reason"]) == ("anybody", "promotion", "proven")


def test_a_promotion_is_an_event_that_says_all_of_it(canary, http):
    promote(http, reason="proven")
    (event,) = http.get("/v1/deployments/d/events").json["data"]
    assert (event["type"], event["level"]) == ("promotion", "info")
    assert event["data"] == {
        "model": "blobs@2",
        "before": "blobs@1",
        "actor": "anybody",
        "reason": "proven",
        "revision": 3,
        "feedback_applied": 0,
    }


def test_several_canaries_are_listed_and_nothing_changes(both, http):
    variants = [*CANARY, {"model": "blobs@3", "weight": 0.1, "role": "canary"}]
    http.patch("/v1/deployments/d", json={"variants": variants})
    answer = promote(http)
    assert code(answer) == (409, "candidate_ambiguous")
    assert "blobs@2, blobs@3" in answer.json["error"]["message"]
    assert roles(promote(http, model="blobs@3").json)[0] == ("blobs@3", "champion", 1.0)


def test_the_newest_candidate_of_the_champion_that_waits_is_meant_where_there_is_no_canary(both, http, server):
    waits(server, "blobs@2", number=1)
    waits(server, "blobs@3", number=2)
    waits(server, "blobs@9", number=3, champion="blobs@8")
    assert roles(promote(http).json) == [("blobs@3", "champion", 1.0)]


def test_a_candidate_that_has_served_or_was_made_for_something_else_is_not_meant(both, http, server):
    waits(server, "blobs@2", number=1)
    waits(server, "blobs@3", number=2, promote="canary")
    promote(http)
    rollback(http)
    answer = promote(http)
    assert code(answer) == (409, "nothing_to_promote")
    assert "blobs@1, its champion" in answer.json["error"]["message"]


def test_what_a_candidate_learned_from_is_applied_along_with_its_promotion(canary, http, server):
    prediction = canary.predict().json["id"]
    ids = [canary.label(prediction, n % 3, source=f"s{n}").json["id"] for n in range(3)]
    server.storage.candidates.note("d", "blobs@2", ids[:2])
    promote(http)
    applied = {item["id"]: item["applied_in"] for item in http.get("/v1/feedback").json["data"]}
    assert applied == {ids[0]: "blobs@2", ids[1]: "blobs@2", ids[2]: None}
    assert http.get("/v1/deployments/d/events").json["data"][0]["data"]["feedback_applied"] == 2


def test_a_shadow_can_be_promoted(both, http):
    shadow = [{"model": "blobs@1", "weight": 2.0}, {"model": "blobs@2", "weight": 7.0, "role": "shadow"}]
    http.patch("/v1/deployments/d", json={"variants": shadow})
    assert roles(promote(http, model="blobs@2").json) == [("blobs@2", "champion", 2.0)]


def test_a_version_takes_the_place_of_the_one_it_learned_from(both, http, server, other_classifier):
    champions = [{"model": "blobs@1", "weight": 1.0}, {"model": "blobs@3", "weight": 3.0}]
    http.patch("/v1/deployments/d", json={"variants": champions})
    seen = promote(http, model="blobs@2").json  # of nobody: that with the largest share steps back
    assert roles(seen) == [("blobs@2", "champion", 3.0), ("blobs@1", "champion", 1.0)]


def test_one_key_promotes_once(canary, http):
    key = {"Idempotency-Key": "once"}
    answers = [http.post("/v1/deployments/d/promote", json={}, headers=key) for _ in range(2)]
    assert [answer.json["revision"] for answer in answers] == [3, 3]
    assert answers[1].headers["Idempotent-Replayed"] == "true"


def test_what_leads_already_stays_and_makes_no_revision(both, http):
    assert promote(http, model="blobs@1").json["revision"] == 1


@pytest.mark.parametrize("verb", ["promote", "rollback"])
def test_a_decision_about_another_revision_is_refused(canary, http, verb):
    answer = http.post(f"/v1/deployments/d/{verb}", json={"if_revision": 1})
    assert code(answer) == (409, "revision_mismatch")
    assert "at revision 2, not 1" in answer.json["error"]["message"]


def test_a_version_of_another_task_is_refused(both, http, server, regressor):
    regressor.register(server, name="values")
    answer = promote(http, model="values")
    assert code(answer) == (422, "variants_incompatible")
    assert answer.json["error"]["param"] == "model"


@pytest.mark.parametrize("body", [{"model": "none@1"}, {"model": "blobs@9"}])
def test_a_version_that_is_not_there_is_named(both, http, body):
    answer = promote(http, **body)
    assert code(answer) == (404, "model_not_found")


def test_a_deployment_that_is_not_there_promotes_nothing(http):
    assert code(http.post("/v1/deployments/none/promote", json={})) == (404, "deployment_not_found")


def test_a_version_that_cannot_be_loaded_does_not_take_the_champion_down(canary, http, server):
    (server.artifacts.path("models/blobs/3") / "weights.safetensors").write_bytes(b"broken")
    assert code(promote(http, model="blobs@3")) == (409, "model_unusable")
    assert http.get("/v1/deployments/d").json["revision"] == 2


def test_the_server_takes_a_canary_out_and_says_so(canary, http, server):
    server.deploying.rollback("d", reason="worse by 10 points", actor=SERVER)
    seen = http.get("/v1/deployments/d").json
    assert roles(seen) == [("blobs@1", "champion", 1.0)]
    last = http.get("/v1/deployments/d/revisions").json["data"][0]
    assert (last["actor"], last["cause"], last["reason"]) == ("lmaas", "automatic", "worse by 10 points")
    (event,) = http.get("/v1/deployments/d/events").json["data"]
    assert (event["type"], event["level"], event["data"]["to"], event["data"]["automatic"]) == (
        "rollback",
        "warning",
        1,
        True,
    )


def test_the_server_takes_out_the_one_canary_that_it_means(both, http, server):
    http.patch("/v1/deployments/d", json={"variants": [*CANARY, {**CANARY[1], "model": "blobs@3"}]})
    server.deploying.rollback("d", reason="worse", actor=SERVER, canary="blobs@3")
    assert roles(http.get("/v1/deployments/d").json)[1] == ("blobs@2", "canary", 0.1)


def test_a_canary_that_grew_is_taken_out_whole_and_a_newer_champion_stays(canary, http, server):
    http.patch(
        "/v1/deployments/d", json={"variants": [{**CANARY[0], "model": "blobs@3"}, {**CANARY[1], "weight": 0.5}]}
    )
    server.deploying.rollback("d", reason="worse", actor=SERVER)
    assert roles(http.get("/v1/deployments/d").json) == [("blobs@3", "champion", 0.9)]


def test_a_rollback_after_an_automatic_one_does_not_bring_the_bad_canary_back(canary, http, server):
    server.deploying.rollback("d", reason="worse", actor=SERVER)
    answer = http.post("/v1/deployments/d/rollback", json={})
    assert code(answer) == (409, "nothing_to_roll_back")
    assert "blobs@2, which the server took back" in answer.json["error"]["message"]
    assert roles(rollback(http, revision=2))[1] == ("blobs@2", "canary", 0.1)  # a person may, by name


def test_a_rollback_after_an_automatic_one_goes_to_what_was_before_the_canary(both, http, server):
    http.patch("/v1/deployments/d", json={"model": "blobs@3"})
    http.patch("/v1/deployments/d", json={"variants": [{**CANARY[0], "model": "blobs@3"}, CANARY[1]]})
    server.deploying.rollback("d", reason="worse", actor=SERVER)
    assert roles(rollback(http)) == [("blobs@1", "champion", 1.0)]


def test_a_rollback_by_a_person_can_be_taken_back(both, http):
    http.patch("/v1/deployments/d", json={"model": "blobs@2"})
    assert [roles(rollback(http))[0][0] for _ in range(3)] == ["blobs@1", "blobs@2", "blobs@1"]


def test_a_rollback_skips_revisions_that_served_the_same(both, http):
    http.patch("/v1/deployments/d", json={"model": "blobs@2"})
    http.patch("/v1/deployments/d", json={"variants": [{"model": "blobs@2", "weight": 7}]})
    assert roles(rollback(http)) == [("blobs@1", "champion", 1.0)]


def test_a_rollback_is_an_event(canary, http):
    rollback(http, reason="calm")
    (event,) = http.get("/v1/deployments/d/events").json["data"]
    assert (event["type"], event["message"]) == ("rollback", "calm")
    assert event["data"] == {
        "to": 1,
        "before": ["blobs@1", "blobs@2"],
        "after": ["blobs@1"],
        "automatic": False,
        "actor": "anybody",
        "reason": "calm",
        "revision": 3,
        "feedback_applied": 0,
    }
