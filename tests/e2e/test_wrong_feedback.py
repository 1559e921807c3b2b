"""Feedback that is wrong, doubtful or hostile, through the client: what it is told, and what an update makes of it."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

from lmaas import ConflictError, LMaaS, NotFoundError, UnprocessableEntityError
from lmaas.types import MLP, Gate

OPEN = Gate(enabled=False)
ROWS = np.random.default_rng(0).normal(size=(160, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def client(lmaas_server):
    with LMaaS(base_url=lmaas_server.url) as opened:
        yield opened


@pytest.fixture(scope="module")
def models(client):
    """A version that tells two classes apart, and one that gives two values."""
    small = {"architecture": MLP(hidden=(8,)), "epochs": 3}
    classes = client.train((ROWS, (ROWS[:, 0] > 0).astype(np.int64)), name="wrong-classes", **small)
    values = client.train((ROWS, ROWS[:, :2]), name="wrong-values", **small)
    return {"class": client.jobs.wait(classes).model, "value": client.jobs.wait(values).model}


@pytest.fixture
def serve(client, models):
    """Serve one of the versions under a name of its own."""
    return lambda kind: client.deploy(models[kind], name=f"{kind}-{uuid.uuid4().hex[:8]}").name


def refused(error, act):
    with pytest.raises(error) as caught:
        act()
    return caught.value


@pytest.mark.parametrize(("label", "told"), [("seven", "2 numbers"), ([1.0], "2 numbers"), ([1.0, 2.0, 3.0], "2 num")])
def test_a_label_that_a_model_of_values_cannot_give_is_told_what_would_be_right(client, serve, label, told):
    shown = client.predict(serve("value"), ROWS[:1])
    error = refused(UnprocessableEntityError, lambda: client.feedback.create(shown, kind="label", value=label))
    assert (error.code, error.param) == ("feedback_invalid", "value")
    assert told in str(error)


@pytest.mark.parametrize("kind", ["rating", "label"])
def test_what_is_said_of_a_row_where_nothing_was_shown_is_refused_with_the_row(client, serve, kind):
    shown = client.predict(serve("class"), [ROWS[0].tolist(), [1.0]])
    assert shown.outputs[1].error is not None
    error = refused(UnprocessableEntityError, lambda: client.feedback.create(shown, index=1, kind=kind, value=1))
    assert (error.code, error.param) == ("feedback_invalid", "index")
    assert "had an error instead of an answer" in str(error)


def test_a_deleted_prediction_takes_no_feedback_and_what_was_said_of_it_is_retracted(client, serve):
    shown = client.predict(serve("class"), ROWS[:1])
    (item,) = client.feedback(shown, labels=[1])
    client.predictions.delete(shown)
    assert refused(NotFoundError, lambda: client.feedback(shown, labels=[1])).code == "prediction_not_found"
    assert refused(NotFoundError, lambda: client.feedback.retrieve(item)).code == "feedback_not_found"


def test_a_deployment_that_is_gone_takes_no_feedback(client, serve):
    name = serve("class")
    shown = client.predict(name, ROWS[:1])
    client.deployments.delete(name)
    error = refused(ConflictError, lambda: client.feedback(shown, labels=[1]))
    assert error.code == "deployment_gone"
    assert name in str(error)


def test_under_one_id_the_first_content_stands(client, serve):
    shown, id = client.predict(serve("class"), ROWS[:1]), f"fb-{uuid.uuid4().hex}"
    first = client.feedback.create(shown, id=id, kind="label", value=1)
    error = refused(ConflictError, lambda: client.feedback.create(shown, id=id, kind="label", value=0))
    assert (error.code, error.param) == ("feedback_conflict", "id")
    assert client.feedback.retrieve(id) == first


def test_an_update_without_feedback_is_held_and_no_error(client, serve):
    job = client.jobs.wait(client.update(serve("class")))
    assert (job.status, job.result["reason"], job.model) == ("succeeded", "insufficient_evidence", None)


def test_of_contradictory_labels_the_latest_of_a_source_wins_and_the_others_are_counted(client, serve):
    name = serve("class")
    shown = client.predict(name, ROWS[:100])
    client.feedback(shown, labels=[0] * 100, source="ann")
    client.feedback(shown, labels=[1] * 30, indices=range(30), source="ann")
    result = client.jobs.wait(client.update(name, gate=OPEN)).result
    assert result["contradictions"] == 30
    assert result["feedback_used"] + result["feedback_held_out"] == 100


def test_a_source_that_poisons_is_capped_and_reported_and_waits(client, serve):
    name = serve("class")
    shown = client.predict(name, ROWS)
    client.feedback(shown, labels=(ROWS[:40, 0] > 0).astype(int).tolist(), indices=range(40), source="ann")
    client.feedback(shown, labels=(ROWS[40:, 0] <= 0).astype(int).tolist(), indices=range(40, 160), source="loud")
    job = client.jobs.wait(client.update(name, gate=OPEN))
    waiting = list(client.feedback.list(deployment=name, applied=False, limit=1000))
    assert job.result["capped"] == {"loud": len(waiting)}
    assert {item.source for item in waiting} == {"loud"}
    assert len(waiting) >= 70
