"""The whole life of a model over a real socket: the same scenario with both clients."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

from lmaas import ConflictError, JobFailedError, NotFoundError, UnprocessableEntityError
from lmaas.types import MLP, SGD, Gate, Validation, VariantSpec

SMALL = MLP(hidden=(64,))


def fresh(word: str) -> str:
    """A name no other test uses: the server is shared."""
    return f"{word}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def trained(client, digits):
    """A model of digits, trained on the first thousand."""
    images, labels = digits
    job = client.train((images[:1000], labels[:1000]), name=fresh("digits"), architecture=SMALL, epochs=30, seed=1)
    return client.jobs.wait(job).model


@pytest.fixture
def deployed(client, trained):
    """The model behind a deployment of its own."""
    return client.deploy(trained, name=fresh("reader"))


def test_a_dataset_comes_back_as_it_was_sent(client, digits):
    images, labels = digits
    dataset = client.datasets.create((images, labels), name="digits")
    assert (dataset.rows, dataset.input.kind, dataset.target.classes) == (1797, "tensor", list(range(10)))
    assert client.datasets.retrieve(dataset.id) == dataset


def test_a_trained_model_reads_digits_it_never_saw(client, trained, digits):
    images, labels = digits
    job = client.jobs.wait(client.evaluate(trained, (images[1000:], labels[1000:])))
    assert job.metrics["accuracy"] > 0.9
    assert np.sum(job.metrics["confusion_matrix"]) == 797


def test_a_prediction_gives_a_label_with_its_score_for_each_row(client, deployed, digits):
    images, labels = digits
    prediction = client.predict(deployed, images[1000:1100], probabilities=True)
    assert np.mean(np.array(prediction.labels) == labels[1000:1100]) > 0.9
    assert np.allclose(np.sum(prediction.probabilities, axis=1), 1, atol=1e-5)
    assert np.allclose(np.max(prediction.probabilities, axis=1), prediction.scores)


def test_json_rows_and_arrays_predict_the_same(client, deployed, digits):
    images, _ = digits
    assert client.predict(deployed, images[:5]).labels == client.predict(deployed, images[:5].tolist()).labels


def test_corrections_become_a_better_version_that_serves(client, deployed, digits):
    images, labels = digits
    slipped = np.pad(images, ((0, 0), (0, 0), (2, 0)))[:, :, :8]
    before = np.mean(np.array(client.predict(deployed, slipped[1400:]).labels) == labels[1400:])
    prediction = client.predict(deployed, slipped[1000:1400])
    items = client.feedback(prediction, labels=labels[1000:1400])
    update = client.jobs.wait(client.update(deployed, strategy="retrain", gate=Gate(enabled=False), seed=3))
    after = client.predict(deployed, slipped[1400:])
    assert len(items) == 400
    assert after.model == update.model != prediction.model
    assert np.mean(np.array(after.labels) == labels[1400:]) > before + 0.1


def test_a_rollback_answers_bit_for_bit_as_before(client, deployed, digits):
    images, labels = digits
    before = client.predict(deployed, images[:50], probabilities=True)
    client.feedback(client.predict(deployed, images[:50]), labels=labels[:50])
    client.jobs.wait(client.update(deployed, strategy="finetune", gate=Gate(enabled=False), seed=3))
    rolled = client.deployments.rollback(deployed.name)
    after = client.predict(deployed, images[:50], probabilities=True)
    assert (rolled.revision, after.model) == (3, before.model)
    assert after.probabilities == before.probabilities


def test_an_update_without_feedback_is_held(client, deployed):
    job = client.jobs.wait(client.update(deployed))
    assert (job.status, job.model) == ("succeeded", None)
    assert (job.result["promoted"], job.result["reason"]) == (False, "insufficient_evidence")


def test_values_are_learned_as_classes_are(client):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 3)).astype(np.float32)
    y = 100 + 7 * x @ np.array([1.0, -2.0, 0.5], dtype=np.float32)
    model = client.jobs.wait(client.train((x, y), name=fresh("line"), architecture=SMALL, epochs=40, seed=1)).model
    name = fresh("line")
    client.deploy(model, name=name)
    assert np.abs(np.array(client.predict(name, x[:100]).values) - y[:100]).mean() < 2


def test_the_same_request_and_seed_give_the_same_weights(client, digits):
    images, labels = digits
    data = client.datasets.create((images, labels), name="digits")
    name = fresh("twin")
    for _ in range(2):
        client.jobs.wait(
            client.train(data, name=name, architecture=SMALL, epochs=2, seed=7, validation=Validation(fraction=0.2))
        )
    first, second = (client.models.retrieve(f"{name}@{version}") for version in (1, 2))
    assert first.sha256 == second.sha256


def test_another_seed_gives_other_weights(client, digits):
    name = fresh("sibling")
    data = client.datasets.create((digits[0][:300], digits[1][:300]))
    for seed in (1, 2):
        client.jobs.wait(client.train(data, name=name, architecture=SMALL, epochs=1, seed=seed))
    assert client.models.retrieve(f"{name}@1").sha256 != client.models.retrieve(f"{name}@2").sha256


def test_traffic_splits_by_weight_and_a_user_stays_with_one_variant(client, trained, digits):
    images, labels = digits
    name = trained.split("@")[0]
    other = client.jobs.wait(client.train((images[:500], labels[:500]), name=name, architecture=SMALL, epochs=1)).model
    split = client.deployments.create(
        name=fresh("split"), variants=[VariantSpec(model=trained, weight=3), VariantSpec(model=other, weight=1)]
    )
    client.deployments.wait(split)
    answered = [client.predict(split, images[:1], user=f"user-{i}").model for i in range(200)]
    again = [client.predict(split, images[:1], user=f"user-{i}").model for i in range(200)]
    assert again == answered
    assert 0.6 < answered.count(trained) / 200 < 0.9


def test_an_alias_stands_for_the_version_it_points_at(client, trained):
    name, version = trained.split("@")
    client.models.set_alias(name, "champion", int(version))
    assert client.models.retrieve(f"{name}@champion").id == trained
    assert client.models.retrieve(trained).aliases == ["champion"]


def test_weights_are_safetensors(client, trained):
    from safetensors.torch import load

    weights = client.models.weights(trained)
    assert sum(tensor.numel() for tensor in load(weights).values()) >= client.models.retrieve(trained).parameters


def test_a_training_that_diverges_fails_and_says_why(client, digits):
    job = client.train((digits[0], digits[1]), name=fresh("wild"), optimizer=SGD(lr=10.0, momentum=0.99), epochs=50)
    with pytest.raises(JobFailedError, match=r"not finite|diverged"):
        client.jobs.wait(job)


def test_a_model_that_serves_cannot_be_deleted(client, deployed):
    with pytest.raises(ConflictError, match=deployed.name):
        client.models.delete(deployed.model)


def test_a_deleted_deployment_answers_404(client, deployed, digits):
    client.deployments.delete(deployed.name)
    with pytest.raises(NotFoundError, match=deployed.name):
        client.predict(deployed.name, digits[0][:1])


def test_a_row_of_another_shape_is_told_both_shapes(client, deployed):
    with pytest.raises(UnprocessableEntityError, match=r"7.*8|8.*7"):
        client.predict(deployed, np.zeros((1, 7, 7), dtype=np.uint8))


def test_a_label_of_another_kind_is_refused_by_name(client, deployed, digits):
    prediction = client.predict(deployed, digits[0][:2])
    with pytest.raises(UnprocessableEntityError) as caught:
        client.feedback(prediction, labels=[3, "three"])
    assert caught.value.param == "items[1].value"
