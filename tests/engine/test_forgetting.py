"""Feedback that was retracted: out of the reservoir at once, out of the weights with the next retraining."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lmaas.types import Gate, UpdateRequest
from lmaas_server.engine.bundle import load_bundle
from lmaas_server.engine.learning.forgetting import narrowed
from lmaas_server.engine.learning.update import update
from lmaas_server.engine.reports import Finished
from lmaas_server.engine.serving.predictor import Predictor

OPEN = Gate(enabled=False)


def corrections(blobs, label, shift, *, start=0, count=60):
    """Rows far away from all others, said to be of a class."""
    rows = np.tile(blobs.inputs[blobs.targets == 0], (2, 1))[:count] + np.float32(shift)
    return [
        {"id": f"fb-{label}-{n}", "prediction_id": f"p-{label}-{n}", "inputs": row, "kind": "label", "value": label}
        for n, row in enumerate(rows, start)
    ]


@pytest.fixture
def run(blobs, tmp_path):
    def updating(bundle, feedback, *, name, retracted=(), **fields) -> Finished:
        request = UpdateRequest(deployment="d", **{"gate": OPEN, "seed": 1, **fields})
        *_, last = update(bundle, feedback, blobs, request, directory=tmp_path / name, retracted=retracted)
        return last

    return updating


@pytest.fixture
def taught(run, blobs, blob_model):
    """A champion that feedback has taught the classes `x` and `y`."""
    return run(blob_model, corrections(blobs, "x", 20) + corrections(blobs, "y", -20), name="taught").bundle


def ids_of(feedback):
    return {item["id"] for item in feedback}


def reservoir_of(bundle):
    return set(json.loads((bundle / "bundle.json").read_text())["buffers"]["reservoir_ids"])


def test_a_class_that_only_retracted_feedback_named_is_not_in_the_retrained_model(run, blobs, taught):
    gone = ids_of(corrections(blobs, "x", 20))
    found = run(taught, corrections(blobs, "y", -20), name="retrained", strategy="retrain", retracted=gone, epochs=20)
    predictor = Predictor.load(found.bundle)
    assert predictor.target["classes"] == ["a", "b", "c", "y"]
    answers = predictor.predict(np.stack([item["inputs"] for item in corrections(blobs, "y", -20)]))
    assert np.mean([answer["label"] == "y" for answer in answers]) > 0.9
    assert not gone & reservoir_of(found.bundle)


def test_a_retraining_after_everything_was_retracted_is_as_if_it_had_never_been_said(run, blobs, blob_model, taught):
    gone = ids_of(corrections(blobs, "x", 20) + corrections(blobs, "y", -20))
    found = run(taught, [], name="retrained", strategy="retrain", retracted=gone)
    model, first = load_bundle(found.bundle), load_bundle(blob_model)
    assert model.target == first.target
    assert reservoir_of(found.bundle) == set()
    assert {name: tensor.shape for name, tensor in model.weights.items()} == {
        name: tensor.shape for name, tensor in first.weights.items()
    }


def test_a_retraining_knows_what_it_remembers_though_nobody_says_it_again(run, taught):
    found = run(taught, [], name="retrained", strategy="retrain")
    assert load_bundle(found.bundle).target["classes"] == ["a", "b", "c", "x", "y"]
    assert reservoir_of(found.bundle) == reservoir_of(taught)


def test_other_strategies_keep_the_class_and_drop_what_was_retracted_from_memory(run, blobs, taught):
    gone = ids_of(corrections(blobs, "x", 20))
    found = run(taught, corrections(blobs, "a", 0, start=500, count=10), name="next", retracted=gone)
    assert load_bundle(found.bundle).target["classes"] == ["a", "b", "c", "x", "y"]
    assert not gone & reservoir_of(found.bundle)


def test_a_statement_that_a_later_one_replaced_is_remembered_no_longer(run, blobs, taught):
    first = corrections(blobs, "x", 20)
    later = [{**item, "id": f"{item['id']}-later", "value": "a", "created_at": 9} for item in first]
    found = run(taught, first + later, name="retrained", strategy="retrain")
    assert not ids_of(first) & reservoir_of(found.bundle)
    assert found.result["contradictions"] == len(first)


def test_a_champion_with_fewer_outputs_gives_the_rest_the_values_it_did(taught):
    champion = load_bundle(taught)
    narrow = narrowed(champion, ["a", "b", "c", "y"])
    assert narrow.buffers["anchor.outputs"].equal(champion.buffers["anchor.outputs"][:, [0, 1, 2, 4]])
    assert narrow.weights["output.bias"].equal(champion.weights["output.bias"][[0, 1, 2, 4]])
