"""A deployment that learns by itself: feedback through both clients, and the update that nobody asked for."""

from __future__ import annotations

import uuid

import pytest

from lmaas import LMaaS, UnprocessableEntityError
from lmaas.types import MLP, Gate, GuardSpec, UpdatePolicySpec


@pytest.fixture(scope="module")
def model(lmaas_server, digits):
    """A small model of digits."""
    images, labels = digits
    with LMaaS(base_url=lmaas_server.url) as client:
        job = client.train((images[:500], labels[:500]), name="by-itself", architecture=MLP(hidden=(16,)), epochs=4)
        return client.jobs.wait(job).model


def updates(client, name):
    return list(client.jobs.list(type="update", deployment=name))


def test_enough_feedback_makes_a_better_version_serve(client, lmaas_client, model, digits):
    images, labels = digits
    policy = UpdatePolicySpec(min_feedback=200, gate=Gate(enabled=False))
    name = client.deploy(model, name=f"reader-{uuid.uuid4().hex[:8]}", update_policy=policy).name
    shown = client.predict(name, images[500:700])
    client.feedback(shown, labels=labels[500:700])
    seen = []
    with lmaas_client.deployments.events(name, follow=True) as events:
        for event in events:
            seen.append(event)
            if event.type == "update" and event.data["status"] == "succeeded":
                break
    (job,) = updates(client, name)
    assert (job.trigger.cause, job.trigger.feedback) == ("feedback", 200)
    assert job.result["promoted"]
    assert client.deployments.retrieve(name).model == job.model
    assert [event.data["status"] for event in seen if event.type == "update"] == ["queued", "succeeded"]


def test_a_policy_is_read_back_changed_and_taken_away(client, model):
    name = client.deploy(model, name=f"reader-{uuid.uuid4().hex[:8]}", guard=GuardSpec(max_p99_ms=50)).name
    assert client.deployments.retrieve(name).update_policy is None
    changed = client.deployments.update(name, update_policy={"every_seconds": 3600.0, "promote": "canary"})
    assert (changed.update_policy.every_seconds, changed.update_policy.strategy) == (3600.0, "replay_distill")
    assert (changed.guard.max_p99_ms, changed.guard.min_labels) == (50, 100)
    assert client.deploy(model, name=name).update_policy == changed.update_policy
    assert client.deployments.update(name, update_policy=None).update_policy is None
    assert client.deployments.update(name, guard=GuardSpec()).guard.max_p99_ms is None


def test_a_policy_that_never_starts_anything_is_refused(client, model):
    with pytest.raises(UnprocessableEntityError, match="min_feedback") as caught:
        client.deploy(model, name=f"reader-{uuid.uuid4().hex[:8]}", update_policy={"promote": "manual"})
    assert (caught.value.code, caught.value.param) == ("policy_invalid", "update_policy")
