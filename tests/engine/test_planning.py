"""Plans: what is filled in, and what is refused before anything starts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lmaas.types import (
    CNN,
    MLP,
    MSE,
    SGD,
    Adam,
    ConstantSchedule,
    CosineSchedule,
    CrossEntropy,
    EarlyStopping,
    TrainingRequest,
    Validation,
)
from lmaas_server.engine.planning import estimate_memory_bytes, plan_training
from lmaas_server.errors import InvalidError

PICTURES = {
    "input": {"kind": "image", "shape": [28, 28, 1], "dtype": "uint8"},
    "target": {"kind": "class", "classes": list(range(10))},
    "rows": 60_000,
}
NUMBERS = {
    "input": {"kind": "tensor", "shape": [20], "dtype": "float64", "normalize": "auto"},
    "target": {"kind": "value", "shape": []},
    "rows": 500,
}


def plan(dataset, *, base=None, memory_limit_bytes=None, **fields):
    request = TrainingRequest(dataset="ds-1", name="m", **fields)
    return plan_training(request, dataset, base=base, memory_limit_bytes=memory_limit_bytes)


def refused(dataset, **fields):
    with pytest.raises(InvalidError) as caught:
        plan(dataset, **fields)
    return caught.value


def test_every_default_is_filled_in():
    found = plan(PICTURES)
    assert found.task == "classification"
    assert found.architecture == CNN()
    assert (found.epochs, found.batch_size, found.seed) == (4, 128, 0)
    assert (found.optimizer, found.schedule, found.loss) == (Adam(lr=0.002), CosineSchedule(), CrossEntropy())
    assert found.validation == Validation(fraction=0.1)
    assert found.checkpoints is not None


@pytest.mark.parametrize(("rows", "fraction"), [(999, 0.1), (1_000, 0.3), (10_000, 0.2), (60_000, 0.1)])
def test_a_tenth_is_held_out_or_2000_rows_and_three_tenths_at_most(rows, fraction):
    assert plan({**NUMBERS, "rows": rows}).validation == Validation(fraction=fraction)


def test_numbers_get_a_perceptron_and_values_a_squared_loss():
    found = plan(NUMBERS)
    assert (found.task, found.architecture, found.loss, found.batch_size) == ("regression", MLP(), MSE(), 32)


def test_a_named_optimizer_keeps_its_learning_rate():
    assert plan(NUMBERS, optimizer=SGD()).schedule == ConstantSchedule()


def test_a_plan_planned_again_stays_as_it_is():
    once = plan(PICTURES)
    assert plan_training(once, PICTURES) == once


def test_a_layer_of_a_billion_units_is_refused_by_the_memory_it_would_take():
    error = refused(PICTURES, architecture=MLP(hidden=(10**9,)), memory_limit_bytes=4 << 30)
    assert (error.code, error.param) == ("too_large_for_memory", "architecture")
    assert "4,096 MB" in error.message


def test_a_layer_of_no_units_is_no_request():
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        MLP(hidden=(0,))


def test_memory_grows_with_the_network_and_the_rows():
    small = estimate_memory_bytes(plan(PICTURES, architecture=MLP(hidden=(16,))), PICTURES)
    wide = estimate_memory_bytes(plan(PICTURES, architecture=MLP(hidden=(4096,))), PICTURES)
    many = estimate_memory_bytes(plan(PICTURES, architecture=MLP(hidden=(16,))), {**PICTURES, "rows": 10**7})
    assert small < wide
    assert small < many


@pytest.mark.parametrize(
    ("dataset", "fields", "code"),
    [
        (NUMBERS, {"loss": CrossEntropy()}, "loss_mismatch"),
        (NUMBERS, {"task": "classification"}, "task_mismatch"),
        (NUMBERS, {"architecture": CNN()}, "architecture_mismatch"),
        (NUMBERS, {"early_stopping": EarlyStopping(metric="accuracy")}, "metric_unknown"),
        (NUMBERS, {"architecture": MLP(batch_norm=True), "batch_size": 1}, "batch_too_small"),
        (NUMBERS, {"optimizer": SGD(momentum=0.0, nesterov=True)}, "invalid"),
        (NUMBERS, {"validation": Validation(fraction=0.1, dataset="ds-2")}, "invalid"),
        ({**NUMBERS, "rows": 1}, {}, "too_few_rows"),
        ({**NUMBERS, "target": {"kind": "none"}}, {}, "targets_missing"),
        ({**PICTURES, "target": {"kind": "class", "classes": [7]}}, {}, "one_class"),
        (PICTURES, {"architecture": CNN(channels=(8,) * 6)}, "architecture_mismatch"),
    ],
)
def test_what_does_not_fit_the_data_is_refused(dataset, fields, code):
    assert refused(dataset, **fields).code == code


def test_a_base_model_lends_its_architecture_and_must_take_the_same_rows():
    base = {**PICTURES, "architecture": {"type": "mlp", "hidden": [32]}}
    assert plan(PICTURES, base=base).architecture == MLP(hidden=(32,))
    assert refused(PICTURES, base=base, architecture=CNN()).code == "architecture_mismatch"
    other = {**base, "input": {**PICTURES["input"], "shape": [8, 8, 1]}}
    error = refused(PICTURES, base=other)
    assert (error.code, error.param) == ("input_mismatch", "base_model")


def test_a_validation_dataset_may_not_bring_classes_of_its_own():
    request = TrainingRequest(dataset="d", name="m", validation=Validation(dataset="e"))
    other = {**PICTURES, "target": {"kind": "class", "classes": [9, 10]}}
    with pytest.raises(InvalidError) as caught:
        plan_training(request, PICTURES, validation=other)
    assert caught.value.code == "classes_unknown"


def test_reading_and_planning_load_no_torch():
    code = (
        "import sys, lmaas_server.engine.data.reader, lmaas_server.engine.planning, lmaas_server.engine.reports;"
        "print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
