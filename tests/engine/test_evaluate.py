"""Metrics, held against sums done by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lmaas_server.engine.learning.evaluate import evaluate, figures_of
from lmaas_server.engine.learning.values import ValueScale
from lmaas_server.errors import InvalidError

CLASSES = {"kind": "class", "classes": ["a", "b", "c"]}


def logits_of(*answers):
    return torch.log(torch.tensor([[0.8 if c == a else 0.1 for c in range(3)] for a in answers]))


def test_classification_figures_are_those_done_by_hand():
    figures = figures_of(logits_of(0, 0, 1, 1), torch.tensor([0, 0, 1, 0]), CLASSES, None)
    assert figures["accuracy"] == 0.75
    assert figures["confusion_matrix"] == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert figures["log_loss"] == pytest.approx(-(3 * math.log(0.8) + math.log(0.1)) / 4)
    assert figures["calibration_error"] == pytest.approx(0.05, abs=1e-6)
    assert figures["per_class"][0] == {
        "label": "a",
        "precision": 1.0,
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(0.8),
        "rows": 3,
    }


def test_a_class_that_does_not_occur_does_not_pull_macro_f1_down():
    figures = figures_of(logits_of(0, 1), torch.tensor([0, 1]), CLASSES, None)
    assert figures["macro_f1"] == 1.0


def test_regression_figures_are_those_done_by_hand():
    scale = ValueScale(mean=torch.tensor([10.0]), std=torch.tensor([2.0]))
    values, targets = torch.tensor([[11.0], [13.0], [9.0]]), torch.tensor([[10.0], [14.0], [9.0]])
    figures = figures_of((values - 10) / 2, (targets - 10) / 2, {"kind": "value", "shape": []}, scale)
    assert figures["mae"] == pytest.approx(2 / 3)
    assert figures["rmse"] == pytest.approx(math.sqrt(2 / 3))
    assert figures["r2"] == pytest.approx(1 - 2 / 14)


def test_r2_of_targets_that_never_vary_is_zero():
    scale = ValueScale(mean=torch.zeros(1), std=torch.ones(1))
    figures = figures_of(torch.ones(3, 1), torch.zeros(3, 1), {"kind": "value", "shape": []}, scale)
    assert figures["r2"] == 0.0


def test_a_model_is_evaluated_on_rows_in_another_order_of_classes(blobs, blob_model):
    relabelled = replace(blobs, targets=2 - blobs.targets, target={"kind": "class", "classes": ["c", "b", "a"]})
    assert evaluate(blob_model, relabelled) == evaluate(blob_model, blobs)


def test_several_outputs_are_shown_one_by_one(lines, line_model):
    metrics = evaluate(line_model, lines, batch_size=7)
    assert len(metrics["per_output"]) == 2
    json.dumps(metrics, allow_nan=False)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"target": {"kind": "class", "classes": [1, 2, 3]}}, "classes_unknown"),
        ({"target": {"kind": "value", "shape": []}}, "target_mismatch"),
        ({"input": {"kind": "tensor", "shape": [7]}, "inputs": np.zeros((300, 7), np.float32)}, "input_mismatch"),
    ],
)
def test_rows_that_do_not_fit_the_model_are_refused(blobs, blob_model, changes, code):
    with pytest.raises(InvalidError) as caught:
        evaluate(blob_model, replace(blobs, **changes))
    assert caught.value.code == code
