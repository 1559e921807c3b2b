"""An answer is lost after the work was done: the client asks again, and the work is done once."""

from __future__ import annotations

import uuid

import pytest

from lmaas import LMaaS
from lmaas.types import MLP, VariantSpec


@pytest.fixture
def cut(proxy):
    """A client whose connection runs through the losing proxy."""
    with LMaaS(base_url=proxy.url) as client:
        yield client


@pytest.fixture(scope="module")
def model(lmaas_server, digits):
    """One trained version for all tests here."""
    with LMaaS(base_url=lmaas_server.url) as client:
        data = (digits[0][:300], digits[1][:300])
        job = client.train(data, name=f"lost-{uuid.uuid4().hex[:8]}", architecture=MLP(hidden=(16,)), epochs=1)
        return client.jobs.wait(job).model


def test_one_training_is_started_when_its_answer_is_lost(cut, proxy, digits):
    data = cut.datasets.create((digits[0][:300], digits[1][:300]))
    name = f"once-{uuid.uuid4().hex[:8]}"
    proxy.lose = [b"POST /v1/jobs"]
    job = cut.train(data, name=name, architecture=MLP(hidden=(16,)), epochs=1)
    cut.jobs.wait(job)
    assert proxy.seen.count(b"POST /v1/jobs") == 2
    assert [m.id for m in cut.models.list(name=name)] == [f"{name}@1"]
    assert len([j for j in cut.jobs.list() if j.request.get("name") == name]) == 1


def test_one_upload_is_kept_when_its_answer_is_lost(cut, proxy, digits):
    name = f"set-{uuid.uuid4().hex[:8]}"
    proxy.lose = [b"POST /v1/datasets"]
    cut.datasets.create((digits[0][:300], digits[1][:300]), name=name)
    assert len([d for d in cut.datasets.list(limit=1000) if d.name == name]) == 1


def test_one_revision_is_made_when_the_answer_to_deploy_is_lost(cut, proxy, model):
    name = f"reader-{uuid.uuid4().hex[:8]}"
    proxy.lose = [b"POST /v1/deployments"]
    deployment = cut.deploy(model, name=name)
    assert (deployment.revision, len(list(cut.deployments.revisions(name)))) == (1, 1)


def test_one_rollback_is_done_when_its_answer_is_lost(cut, proxy, model):
    name = f"reader-{uuid.uuid4().hex[:8]}"
    cut.deploy(model, name=name)
    cut.deploy(variants=[VariantSpec(model=model, role="canary")], name=name)
    proxy.lose = [f"POST /v1/deployments/{name}/rollback".encode()]
    assert cut.deployments.rollback(name).revision == 3


def test_one_promotion_is_made_when_its_answer_is_lost(cut, proxy, model):
    name = f"reader-{uuid.uuid4().hex[:8]}"
    cut.deploy(variants=[VariantSpec(model=model, role="canary")], name=name)
    proxy.lose = [f"POST /v1/deployments/{name}/promote".encode()]
    promoted = cut.deployments.promote(name)
    assert (promoted.revision, promoted.variants[0].role) == (2, "champion")
    assert [event.type for event in cut.deployments.events(name)] == ["promotion"]


def test_feedback_is_stored_once_when_its_answer_is_lost(cut, proxy, model, digits):
    name = f"reader-{uuid.uuid4().hex[:8]}"
    cut.deploy(model, name=name)
    prediction = cut.predict(name, digits[0][:10])
    proxy.lose = [b"POST /v1/feedback"]
    cut.feedback(prediction, labels=digits[1][:10])
    assert proxy.seen.count(b"POST /v1/feedback") == 2
    assert len(list(cut.feedback.list(prediction=prediction.id))) == 10
