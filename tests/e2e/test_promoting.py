"""A candidate on its way to champion, with both clients: tried by a share of the users, promoted, taken back."""

from __future__ import annotations

import uuid

import pytest

from lmaas import ConflictError
from lmaas.types import MLP, Gate

ANYWAY = Gate(enabled=False)
USERS = [f"user-{number}" for number in range(24)]


@pytest.fixture
def taught(client, digits):
    """The name of a deployment whose 40 answers were corrected, and its first version."""
    name = f"tried-{uuid.uuid4().hex[:8]}"
    job = client.train((digits[0][:300], digits[1][:300]), name=name, architecture=MLP(hidden=(16,)), epochs=1)
    model = client.jobs.wait(job).model
    client.deploy(model, name=name)
    prediction = client.predict(name, digits[0][300:340])
    client.feedback(prediction, labels=digits[1][300:340])
    return name, model


def updated(client, name, **request):
    return client.jobs.wait(client.update(name, strategy="finetune", gate=ANYWAY, **request))


def who_answers(client, name, digits):
    return {user: client.predict(name, digits[0][:1], user=user, store=False).model for user in USERS}


def applied(client, name):
    return {item.applied_in for item in client.feedback.list(deployment=name, limit=1000)}


def test_a_canary_answers_its_users_and_is_promoted_with_what_it_learned(client, lmaas_client, taught, digits):
    name, first = taught
    candidate = updated(client, name, promote="canary", canary_share=0.4).model
    before = who_answers(client, name, digits)
    assert set(before.values()) == {first, candidate}
    assert who_answers(client, name, digits) == before
    assert applied(client, name) == {None}
    promoted = client.deployments.promote(name, reason="proven")
    assert [(v.model, v.role) for v in promoted.variants] == [(candidate, "champion")]
    assert applied(client, name) == {candidate}
    history = [(r.cause, r.actor) for r in client.deployments.revisions(name)]
    assert history == [("promotion", "anybody"), ("canary", "lmaas"), ("change", "anybody")]
    assert [event.type for event in lmaas_client.deployments.events(name)] == ["canary", "promotion"]


def test_a_candidate_that_waits_is_found_on_the_job_and_on_the_model_and_promoted_without_a_name(client, taught):
    name, first = taught
    job = updated(client, name, promote="manual")
    candidate = job.result["candidate"]
    model = client.models.retrieve(candidate)
    assert (job.model, job.result["promoted"], job.result["reason"]) == (candidate, False, "manual")
    assert (model.lineage.deployment, model.lineage.parent) == (name, first)
    assert model.lineage.gate == job.result["gate"]
    assert client.deployments.retrieve(name).model == first
    assert client.deployments.promote(name).model == candidate
    assert applied(client, name) == {candidate}
    with pytest.raises(ConflictError, match="nothing_to_promote"):
        client.deployments.promote(name)


def test_a_promotion_is_taken_back_to_the_same_bits(client, taught, digits):
    name, first = taught
    before = client.predict(name, digits[0][:50], probabilities=True)
    job = updated(client, name, promote="manual")
    client.deployments.promote(name, job)
    assert client.predict(name, digits[0][:50], probabilities=True).outputs != before.outputs
    assert client.deployments.rollback(name, reason="calm").model == first
    assert client.predict(name, digits[0][:50], probabilities=True).outputs == before.outputs
