"""Updates from feedback: what is learned, what is kept, and what the gate lets pass."""

from __future__ import annotations

import hashlib
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lmaas.types import SGD, Adam, Gate, UpdateRequest
from lmaas_server.engine.learning import strategies
from lmaas_server.engine.learning.evaluate import evaluate
from lmaas_server.engine.learning.signals import held_out
from lmaas_server.engine.learning.update import update
from lmaas_server.engine.reports import Cancelled, Finished, Message, Progress
from lmaas_server.engine.serving.predictor import Predictor
from lmaas_server.errors import InvalidError

NEW = next(f"fb-{n}" for n in range(900, 999) if not held_out(f"fb-{n}"))
STRATEGIES = ["replay_distill", "consolidate", "finetune", "retrain"]


def corrections(blobs, count=200, *, shift=6.0, label=None):
    """Rows of class a that have moved where the model takes them for another."""
    rows = blobs.inputs[blobs.targets == 0]
    rows = np.tile(rows, (3, 1))[:count] + np.array([shift, 0, -shift, 0, shift, 0], dtype=np.float32)
    return [
        {
            "id": f"fb-{n}",
            "inputs": row,
            "kind": "label",
            "value": label or "a",
            "weight": 1.0,
            "source": None,
            "created_at": n,
            "prediction_id": f"p{n}",
            "index": 0,
        }
        for n, row in enumerate(rows)
    ]


@pytest.fixture
def run(blob_model, blobs, tmp_path):
    def updating(feedback, *, bundle=blob_model, name="update", examples=blobs, retracted=(), **fields) -> Finished:
        request = UpdateRequest(deployment="d", **fields)
        reports = list(update(bundle, feedback, examples, request, directory=tmp_path / name, retracted=retracted))
        assert isinstance(reports[0], Progress)
        return reports[-1]

    return updating


@pytest.mark.parametrize("seed", [5, 8, 11])
def test_a_champion_is_never_right_about_a_class_it_does_not_know(run, blobs, seed):
    """Grown to it, it has weights for it by chance: with one seed in three it would take these rows for it."""
    found = run(corrections(blobs, label="new", shift=-20.0), seed=seed)
    assert found.result["gate"]["fresh"]["champion"] == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_learns_what_it_is_told(run, blobs, strategy):
    feedback = corrections(blobs)
    found = run(feedback, strategy=strategy, gate=Gate(enabled=False))
    answers = Predictor.load(found.bundle).predict(np.stack([item["inputs"] for item in feedback]))
    assert np.mean([a["label"] == "a" for a in answers]) > 0.9
    json.dumps([found.metrics, found.result], allow_nan=False)


def test_a_better_candidate_is_promoted_and_says_why(run, blobs):
    result = run(corrections(blobs, shift=9.0), optimizer=Adam(lr=0.01)).result
    assert (result["promoted"], result["reason"]) == (True, "promoted")
    assert result["gate"]["fresh"]["won"] > result["gate"]["fresh"]["lost"]
    assert result["feedback_used"] + result["feedback_held_out"] == 200


@pytest.mark.parametrize(("allowed", "told"), [(0.01, True), (0.5, False)])
def test_it_is_said_where_too_few_rows_were_held_out_to_judge_by(blob_model, blobs, tmp_path, allowed, told):
    request = UpdateRequest(deployment="d", gate=Gate(max_anchor_drop=allowed))
    reports = update(blob_model, corrections(blobs), None, request, directory=tmp_path)
    texts = [report.text for report in reports if isinstance(report, Message) and report.level == "warning"]
    assert any("validation=Validation" in text for text in texts) is told


def test_feedback_that_changes_nothing_is_held(run, blobs):
    result = run(corrections(blobs, shift=0.0)).result
    assert not result["promoted"]
    assert result["reason"] in {"no_improvement", "insufficient_evidence", "regression"}


def test_no_feedback_is_held_and_no_error(run):
    found = run([])
    assert found.bundle is None
    assert found.result["reason"] == "insufficient_evidence"


def test_what_would_forget_is_a_regression(run, blobs):
    feedback = corrections(blobs, shift=0.0, label="b")
    result = run(feedback, strategy="finetune", optimizer=SGD(lr=1.0), epochs=50).result
    assert not result["promoted"]
    assert result["gate"]["alpha"] < 1 or result["reason"] == "regression"


def test_the_same_update_gives_the_same_weights(run, blobs):
    feedback = corrections(blobs, 60)
    first, second = (run(feedback, name=name, seed=3) for name in "ab")
    assert (first.bundle / "weights.safetensors").read_bytes() == (second.bundle / "weights.safetensors").read_bytes()


def test_the_champion_is_never_touched(run, blobs, blob_model):
    def sums():
        return [hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(blob_model.iterdir())]

    before = sums()
    run(corrections(blobs, 40))
    assert sums() == before


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_new_label_grows_the_output_layer(run, blobs, strategy):
    feedback = corrections(blobs, shift=12.0, label="new")
    fields = {"epochs": 20} if strategy == "retrain" else {"optimizer": Adam(lr=0.01)}
    found = run(feedback, strategy=strategy, gate=Gate(enabled=False), **fields)
    predictor = Predictor.load(found.bundle)
    assert predictor.target["classes"] == ["a", "b", "c", "new"]
    answers = predictor.predict(np.stack([item["inputs"] for item in feedback]))
    assert np.mean([a["label"] == "new" for a in answers]) > 0.9
    assert evaluate(found.bundle, blobs)["accuracy"] > (0.4 if strategy == "finetune" else 0.85)


def test_old_classes_keep_their_logits_when_a_class_is_added(run, blobs, blob_model):
    found = run(corrections(blobs, 40, label="new"), gate=Gate(enabled=False), optimizer=SGD(lr=1e-9, momentum=0.0))
    old, new = (load_file(b / "weights.safetensors")["output.weight"] for b in (blob_model, found.bundle))
    assert new[:3] == pytest.approx(old, abs=1e-6)


def test_ratings_down_move_a_row_away_from_what_was_shown(run, blobs, blob_model):
    feedback = corrections(blobs)
    shown = [a["label"] for a in Predictor.load(blob_model).predict(np.stack([i["inputs"] for i in feedback]))]
    rated = [{**i, "kind": "rating", "value": -1, "shown": s} for i, s in zip(feedback, shown, strict=True)]
    found = run(rated, gate=Gate(enabled=False), optimizer=Adam(lr=0.01))
    answers = Predictor.load(found.bundle).predict(np.stack([i["inputs"] for i in feedback]))
    assert np.mean([a["label"] != s for a, s in zip(answers, shown, strict=True)]) > 0.7


def test_values_learn_from_feedback_too(lines, line_model, run):
    feedback = [
        {"id": f"fb-{n}", "inputs": row, "kind": "label", "value": np.add(target, [20, 0]).tolist()}
        for n, (row, target) in enumerate(zip(lines.inputs, lines.targets, strict=True))
    ]
    found = run(feedback, bundle=line_model, strategy="finetune", epochs=50, optimizer=Adam(lr=0.01))
    before, after = (
        np.array([a["value"] for a in Predictor.load(b).predict(lines.inputs)])[:, 0].mean()
        for b in (line_model, found.bundle)
    )
    assert after > before + 15


def test_a_candidate_keeps_what_it_learned_from_but_not_what_was_retracted(run, blobs):
    feedback = corrections(blobs, 60)
    first = run(feedback, gate=Gate(enabled=False))
    kept = json.loads((first.bundle / "bundle.json").read_text())["buffers"]["reservoir_ids"]
    second = run(
        [{**feedback[0], "id": NEW}],
        bundle=first.bundle,
        name="second",
        retracted=set(kept[:5]),
        gate=Gate(enabled=False),
    )
    later = json.loads((second.bundle / "bundle.json").read_text())["buffers"]["reservoir_ids"]
    assert len(kept) == first.result["feedback_used"]
    assert set(later) == set(kept[5:]) | {NEW}


def test_retrain_without_its_dataset_is_refused(run, blobs):
    with pytest.raises(InvalidError) as caught:
        run(corrections(blobs, 20), strategy="retrain", examples=None)
    assert caught.value.code == "dataset_needed"


def test_retrain_never_trains_on_the_holdout(run, blobs, blob_model):
    found = run(corrections(blobs, 20), strategy="retrain", gate=Gate(enabled=False))
    holdout, later = (load_file(b / "buffers.safetensors")["holdout.inputs"] for b in (blob_model, found.bundle))
    anchor = load_file(found.bundle / "buffers.safetensors")["anchor.inputs"]
    assert np.array_equal(np.sort(holdout, axis=0), np.sort(later, axis=0))
    assert not {row.tobytes() for row in holdout} & {row.tobytes() for row in anchor}


def test_an_update_can_be_cancelled(blob_model, blobs, tmp_path):
    request = UpdateRequest(deployment="d")
    with pytest.raises(Cancelled):
        list(update(blob_model, corrections(blobs), None, request, directory=tmp_path, control=lambda: "cancel"))
    assert not (tmp_path / "bundle").exists()


def test_an_update_leaves_the_anchor_the_outputs_of_its_training(run, blobs, blob_model):
    """What each update loses would else be what the next one holds to."""
    found = run(corrections(blobs), gate=Gate(enabled=False))
    before, after = (load_file(b / "buffers.safetensors")["anchor.outputs"] for b in (blob_model, found.bundle))
    assert np.array_equal(before, after)


@pytest.mark.parametrize("strategy", [None, *STRATEGIES])
def test_the_scores_a_model_keeps_judge_its_successors_as_scores_computed_anew(
    run, blobs, blob_model, tmp_path, strategy
):
    if strategy is not None:
        grown = run(corrections(blobs, label="new", shift=12.0), strategy=strategy, gate=Gate(enabled=False))
    bundle = blob_model if strategy is None else grown.bundle
    older = shutil.copytree(bundle, tmp_path / "older")
    buffers = load_file(bundle / "buffers.safetensors")
    del buffers["holdout.scores"]
    save_file(buffers, older / "buffers.safetensors")
    later = corrections(blobs, 60, shift=9.0, label="newer")
    kept, anew = (run(later, bundle=of, name=name) for of, name in ((bundle, "kept"), (older, "anew")))
    assert kept.result["gate"]["anchor"] == anew.result["gate"]["anchor"]


def test_the_scores_of_values_are_those_of_the_models_own_answers(lines, line_model, run):
    feedback = [
        {"id": f"fb-{n}", "inputs": row, "kind": "label", "value": (target * 2).tolist()}
        for n, (row, target) in enumerate(zip(lines.inputs, lines.targets, strict=True))
    ]
    found = run(feedback, bundle=line_model, gate=Gate(enabled=False))
    scores = load_file(found.bundle / "buffers.safetensors")["holdout.scores"]
    assert scores.mean() == pytest.approx(found.result["gate"]["anchor"]["candidate"])
    assert scores.mean() != load_file(line_model / "buffers.safetensors")["holdout.scores"].mean()


@pytest.mark.parametrize(("rows", "steps"), [(20, 20), (160, 100), (1600, 250)])
def test_few_rows_are_learned_in_more_steps_each(run, blobs, monkeypatch, rows, steps):
    rates = []
    monkeypatch.setattr(strategies, "set_learning_rate", lambda _optimizer, rate: rates.append(rate))
    learned = [name for name in (f"fb-{n}" for n in range(2 * rows + 99)) if not held_out(name)][:rows]
    feedback = corrections(blobs, 200) * 8
    run([{**item, "id": name, "prediction_id": name} for item, name in zip(feedback, learned, strict=False)])
    assert len(rates) == steps
    assert (max(rates), rates[0] < 2e-4, 0 < rates[-1] < 2e-4) == (1e-3, True, True)
