"""Training: what it reports, what it keeps, and that it is the same every time."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

from lmaas.types import (
    MAE,
    MLP,
    SGD,
    Adam,
    AdamW,
    Checkpoints,
    CrossEntropy,
    EarlyStopping,
    Huber,
    OneCycle,
    RMSprop,
    Validation,
)
from lmaas_server.engine.learning.train import train
from lmaas_server.engine.reports import Cancelled, Checkpointed, Finished, Message, Metrics, Paused, Progress
from lmaas_server.errors import InvalidError


def sha(bundle):
    return hashlib.sha256((bundle / "weights.safetensors").read_bytes()).hexdigest()


def after(count, wish):
    asked = itertools.count()
    return lambda: wish if next(asked) == count else None


def test_a_classifier_learns_what_can_be_learned(blobs, trained):
    assert trained(blobs, epochs=20).metrics["accuracy"] > 0.9


def test_values_are_learned_in_the_units_of_the_data(lines, trained):
    metrics = trained(lines, epochs=60).metrics
    assert metrics["r2"] > 0.95
    assert metrics["rmse"] < 20


def test_reports_begin_with_progress_and_end_with_the_bundle(blobs, plan, tmp_path):
    reports = list(train(blobs, plan(blobs), directory=tmp_path))
    assert reports[0] == Progress(0, 3 * 9, 0, 3)
    assert [r.epoch for r in reports if isinstance(r, Metrics)] == [1, 2, 3]
    assert [r for r in reports if isinstance(r, Progress)][-1] == Progress(27, 27, 3, 3)
    assert isinstance(reports[-1], Finished)
    json.dumps([reports[-1].metrics, reports[-1].result], allow_nan=False)


def test_the_same_request_and_seed_give_the_same_weights(blobs, trained):
    fields = {"architecture": MLP(hidden=(16, 16), dropout=0.3, batch_norm=True), "seed": 7}
    first, second = trained(blobs, "a", **fields), trained(blobs, "b", **fields)
    assert first.result["weights_sha256"] == second.result["weights_sha256"] == sha(first.bundle)


def test_another_seed_gives_other_weights(blobs, trained):
    assert sha(trained(blobs, "a", seed=1).bundle) != sha(trained(blobs, "b", seed=2).bundle)


@pytest.mark.parametrize("step", [0, 4, 9, 13])  # before, within, between and after epochs
@pytest.mark.parametrize("optimizer", [Adam(), SGD(lr=0.05, nesterov=True), RMSprop(momentum=0.5), AdamW()])
def test_a_paused_run_goes_on_to_the_same_weights(blobs, plan, tmp_path, step, optimizer):
    fields = {
        "architecture": MLP(hidden=(16,), dropout=0.2, batch_norm=True),
        "optimizer": optimizer,
        "schedule": OneCycle(),
        "epochs": 2,
        "early_stopping": EarlyStopping(patience=2),
    }
    request = plan(blobs, **fields)
    *_, whole = train(blobs, request, directory=tmp_path / "whole")
    with pytest.raises(Paused):
        list(train(blobs, request, directory=tmp_path / "half", control=after(step, "pause")))
    found = sorted((tmp_path / "half" / "checkpoints").iterdir())
    *_, last = train(blobs, request, directory=tmp_path / "rest", resume=found[-1])
    assert found[-1].name == f"step-{step:08d}"
    assert sha(last.bundle) == sha(whole.bundle)
    assert last.metrics == whole.metrics


def test_a_cancelled_run_stops_at_once_and_leaves_no_bundle(blobs, plan, tmp_path):
    with pytest.raises(Cancelled):
        list(train(blobs, plan(blobs), directory=tmp_path, control=after(3, "cancel")))
    assert not (tmp_path / "bundle").exists()


def test_early_stopping_keeps_the_best_epoch(blobs, plan, tmp_path):
    fields = {"epochs": 30, "optimizer": SGD(lr=0.9), "early_stopping": EarlyStopping(metric="loss", patience=2)}
    reports = list(train(blobs, plan(blobs, **fields), directory=tmp_path))
    epochs, last = [r for r in reports if isinstance(r, Metrics)], reports[-1]
    best = min(epochs, key=lambda r: r.values["loss"])
    assert len(epochs) < 30
    assert last.result["best_epoch"] == best.epoch
    assert last.metrics["loss"] == pytest.approx(best.values["loss"])


def test_validation_rows_never_train(blobs, trained):
    spoilt = trained(blobs, "a", epochs=1)
    held = load_file(spoilt.bundle / "buffers.safetensors")["holdout.inputs"]
    poison = blobs.inputs.copy()
    poison[[int(np.flatnonzero((blobs.inputs == row).all(axis=1))[0]) for row in held]] += 1000
    assert sha(trained(replace(blobs, inputs=poison), "b", epochs=1).bundle) == sha(spoilt.bundle)


def test_a_validation_dataset_is_measured_and_all_rows_train(blobs, plan, tmp_path):
    request = plan(blobs, validation=Validation(dataset="other"))
    *_, last = train(blobs, request, validation=blobs.take(np.arange(40)), directory=tmp_path)
    assert (last.result["training_rows"], last.result["validation_rows"]) == (300, 40)


def test_a_class_with_one_row_trains_and_is_warned_of(blobs, plan, tmp_path):
    targets = blobs.targets.copy()
    targets[5] = 3
    rare = replace(blobs, targets=targets, target={"kind": "class", "classes": ["a", "b", "c", "rare"]})
    reports = list(train(rare, plan(rare), directory=tmp_path))
    warning = next(r for r in reports if isinstance(r, Message) and r.level == "warning")
    assert "rare" in warning.text
    assert reports[-1].metrics["confusion_matrix"][3] == [0, 0, 0, 0]


def test_two_rows_are_enough(trained, blobs):
    pair = blobs.take(np.array([int(np.flatnonzero(blobs.targets == label)[0]) for label in (0, 1)]))
    pair = replace(pair, target={"kind": "class", "classes": ["a", "b"]})
    assert trained(pair).result["training_rows"] == 1


def test_a_last_batch_of_one_row_does_not_break_batch_norm(trained, blobs):
    some = blobs.take(np.arange(37))  # 33 to train on: 32 and one
    assert trained(some, architecture=MLP(hidden=(8,), batch_norm=True), batch_size=32).result["training_rows"] == 33


def test_a_run_that_diverges_says_so(lines, trained):
    with pytest.raises(InvalidError) as caught:
        trained(lines, optimizer=SGD(lr=10.0), epochs=20)
    assert (caught.value.code, caught.value.param) == ("diverged", "optimizer.lr")


@pytest.mark.parametrize("loss", [MAE(), Huber(delta=0.5)])
def test_robust_losses_learn_values_too(lines, trained, loss):
    assert trained(lines, loss=loss, epochs=60).metrics["r2"] > 0.9


def test_smoothed_and_balanced_losses_learn_classes_too(blobs, trained):
    found = trained(blobs, loss=CrossEntropy(label_smoothing=0.1, balanced=True), epochs=15)
    assert found.metrics["accuracy"] > 0.9


def test_a_base_model_is_where_training_starts_and_new_classes_grow_it(blobs, blob_model, plan, tmp_path):
    targets = {"kind": "class", "classes": ["b", "z"]}
    other = replace(blobs, targets=(blobs.targets == 0).astype(np.int64), target=targets)
    *_, last = train(other, plan(other, epochs=1), base=blob_model, directory=tmp_path)
    config = json.loads((last.bundle / "bundle.json").read_text())
    assert config["target"]["classes"] == ["a", "b", "c", "z"]
    assert load_file(last.bundle / "weights.safetensors")["output.weight"].shape == (4, 16)


def test_checkpoints_come_as_often_as_asked(blobs, plan, tmp_path):
    request = plan(blobs, epochs=5, checkpoints=Checkpoints(every_epochs=2))
    found = [r for r in train(blobs, request, directory=tmp_path) if isinstance(r, Checkpointed)]
    assert [r.epoch for r in found] == [2, 4]
    assert all(r.bytes == sum(f.stat().st_size for f in r.directory.iterdir()) for r in found)


def test_a_checkpoint_of_another_job_is_refused(blobs, plan, tmp_path):
    found = [r for r in train(blobs, plan(blobs), directory=tmp_path) if isinstance(r, Checkpointed)]
    other = plan(blobs, architecture=MLP(hidden=(5,)))
    with pytest.raises(InvalidError) as caught:
        list(train(blobs, other, directory=tmp_path / "other", resume=found[-1].directory))
    assert caught.value.code == "checkpoint_damaged"


def test_a_bundle_keeps_rows_to_learn_from_feedback_with(blob_model):
    buffers = load_file(blob_model / "buffers.safetensors")
    assert buffers["anchor.inputs"].shape == (270, 6)
    assert buffers["anchor.outputs"].shape == (270, 3)
    assert buffers["holdout.inputs"].shape == (30, 6)
