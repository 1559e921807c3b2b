"""One source that says hundreds of wrong things beside three honest ones, where the anchor holdout cannot see it."""

from __future__ import annotations

import numpy as np
import pytest

from lmaas.types import MLP, Adam, TrainingRequest, UpdateRequest, Validation
from lmaas_server.engine.data.examples import Examples
from lmaas_server.engine.learning.train import train
from lmaas_server.engine.learning.update import update
from lmaas_server.engine.planning import plan_training
from lmaas_server.engine.serving.predictor import Predictor

CENTRES = np.random.default_rng(0).normal(size=(3, 6)) * 2
OUTWARD = (CENTRES[0] - CENTRES.mean(axis=0)) / np.linalg.norm(CENTRES[0] - CENTRES.mean(axis=0)) * 4
HONEST, POISON = 100, 900


def rows_of(seed: int, count: int, *, label: int | None = None, shift: np.ndarray | float = 0.0):
    """Rows around three centres, or around one of them and `shift` away from it."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(3, size=count) if label is None else np.full(count, label)
    rows = CENTRES[labels] + generator.normal(size=(count, 6)) + shift
    return rows.astype(np.float32), labels


@pytest.fixture(scope="module")
def champion(tmp_path_factory):
    """A model of three classes that is right about class `a` far from where it was trained, too."""
    inputs, targets = rows_of(100, 1500)
    described = {"kind": "tensor", "shape": [6], "dtype": "float32", "normalize": "auto"}
    target = {"kind": "class", "classes": ["a", "b", "c"]}
    examples = Examples(inputs=inputs, targets=targets, format="npz", input=described, target=target)
    request = TrainingRequest(dataset="ds-1", name="m", architecture=MLP(hidden=(16,)), optimizer=Adam(lr=0.01))
    # Of as many rows as are held out by default, the gate would see that the poison costs more than a point.
    few = {"epochs": 10, "validation": Validation(fraction=0.1)}
    plan = plan_training(request.model_copy(update=few), {"input": described, "target": target, "rows": 1500})
    *_, last = train(examples, plan, directory=tmp_path_factory.mktemp("champion"))
    return last.bundle


def accuracy(bundle):
    """How many of the rows far out are taken for what they are."""
    answers = Predictor.load(bundle).predict(rows_of(1, 1000, label=0, shift=OUTWARD)[0])
    return np.mean([answer["label"] == "a" for answer in answers])


@pytest.fixture
def poisoned(champion, tmp_path):
    """Update the champion with what three honest sources and a poisoning one say of rows far out."""

    def updating(seed=0, **fields):
        rows, _ = rows_of(seed + 5, HONEST + POISON, label=0, shift=OUTWARD)
        said = [(f"honest-{n % 3}", "a") if n < HONEST else ("bad", "c") for n in range(len(rows))]
        feedback = [
            {
                "id": f"fb-{n}-{source}",
                "prediction_id": f"p{n}",
                "inputs": row,
                "kind": "label",
                "value": value,
                "source": source,
                "created_at": n,
            }
            for n, (row, (source, value)) in enumerate(zip(rows, said, strict=True))
        ]
        request = UpdateRequest(deployment="d", seed=seed, optimizer=Adam(lr=0.01), **fields)
        *_, last = update(champion, feedback, None, request, directory=tmp_path / "update")
        return last

    return updating


def test_without_a_limit_the_poison_is_promoted_and_the_model_is_worse(champion, poisoned):
    found = poisoned(max_source_share=1.0)
    assert accuracy(champion) > 0.99
    assert found.result["promoted"]
    assert accuracy(found.bundle) < 0.9


@pytest.mark.parametrize("seed", range(5))
def test_with_the_limit_that_every_update_has_it_is_held(poisoned, seed):
    result = poisoned(seed).result
    assert not result["promoted"]
    assert set(result["capped"]) == {"bad"}
    assert POISON - HONEST - 60 <= result["capped"]["bad"] <= POISON - HONEST + 60
