"""What a deployment is told to do of its own accord: given, read back, changed, taken away."""

from __future__ import annotations

import pytest

POLICY = {
    "min_feedback": 50,
    "every_seconds": None,
    "on_drift": False,
    "strategy": "replay_distill",
    "promote": "auto",
    "canary_share": None,
    "gate": None,
}


def patch(ask, **change):
    return ask.http.patch("/v1/deployments/d", json=change)


def test_without_being_told_a_deployment_starts_nothing_and_is_guarded_by_default(shared):
    record = shared.http.get("/v1/deployments/d").json
    assert record["update_policy"] is None
    assert (record["guard"]["enabled"], record["guard"]["min_labels"]) == (True, 100)


def test_a_policy_is_on_the_record_with_what_it_leaves_open_filled_in(ask, server, classifier):
    classifier.register(server)
    ask.deploy("blobs", update_policy={"min_feedback": 50}, guard={"max_p99_ms": 20.0, "max_latency_factor": None})
    record = ask.http.get("/v1/deployments/d").json
    assert record["update_policy"] == POLICY
    assert (record["guard"]["max_p99_ms"], record["guard"]["max_latency_factor"]) == (20.0, None)


def test_a_policy_is_changed_left_alone_and_taken_away_without_a_new_revision(deployed):
    assert patch(deployed, update_policy={"min_feedback": 50}).json["update_policy"] == POLICY
    assert patch(deployed, metadata={"a": "b"}).json["update_policy"] == POLICY
    answer = patch(deployed, update_policy=None).json
    assert (answer["update_policy"], answer["revision"]) == (None, 1)


def test_a_guard_is_changed_and_made_the_default_again(deployed):
    default = deployed.http.get("/v1/deployments/d").json["guard"]
    assert patch(deployed, guard={"enabled": False}).json["guard"] == {**default, "enabled": False}
    assert patch(deployed, guard=None).json["guard"] == default


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"update_policy": {}}, "update_policy"),
        ({"update_policy": {"on_drift": False}}, "update_policy"),
        ({"update_policy": {"min_feedback": 5, "canary_share": 0.2}}, "update_policy.canary_share"),
        ({"update_policy": {"min_feedback": 0}}, "update_policy.min_feedback"),
        ({"update_policy": {"every_seconds": 0.5}}, "update_policy.every_seconds"),
        ({"update_policy": {"every": 60}}, "update_policy.every"),
        ({"update_policy": {"min_feedback": 5, "strategy": "hope"}}, "update_policy.strategy"),
        ({"update_policy": {"min_feedback": 5, "gate": {"confidence": 2}}}, "update_policy.gate.confidence"),
        ({"guard": {"max_error_rate": 1.5}}, "guard.max_error_rate"),
        ({"guard": {"min_labels": True}}, "guard.min_labels"),
    ],
)
def test_what_cannot_be_a_policy_or_a_guard_is_refused_and_named(shared, change, param):
    answer = patch(shared, **change)
    assert (answer.status_code, answer.json["error"]["param"]) == (422, param)


def test_a_policy_that_never_starts_anything_is_told_what_would(shared):
    error = patch(shared, update_policy={"promote": "manual"}).json["error"]
    assert error["code"] == "policy_invalid"
    assert "min_feedback" in error["message"]
