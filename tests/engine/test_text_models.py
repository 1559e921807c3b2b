"""Texts, tables and several classes a row are learned, measured and corrected like anything else."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lmaas.types import Gate, TabularMLP, TextEncoder, TrainingRequest, UpdateRequest
from lmaas_server.engine.architectures.text_layers import Attention, NgramBag
from lmaas_server.engine.data.feed import joined
from lmaas_server.engine.data.reader import rows_from_json
from lmaas_server.engine.learning.evaluate import evaluate
from lmaas_server.engine.learning.multilabel import multilabel_figures
from lmaas_server.engine.learning.train import train
from lmaas_server.engine.learning.update import update
from lmaas_server.engine.planning import plan_training
from lmaas_server.engine.serving.predictor import Predictor
from lmaas_server.errors import InvalidError

LIGHT = TextEncoder(buckets=1024, dimensions=16)
TAGGED = [
    {
        "text": f"{'cat' if i % 2 else 'dog'} {'red' if i % 3 else 'blue'} number {i}",
        "labels": ["animal"] * (i % 2) + ["colour"] * bool(i % 3),
        "from": "web" if i < 150 else "mail",
    }
    for i in range(200)
]
PEOPLE = [
    {"age": i % 50, "job": "abc"[i % 3], "low": float(i % 50), "high": 2.0 * (i % 50) + (i % 3)} for i in range(200)
]


def described(examples):
    return {"input": examples.input, "target": examples.target, "rows": len(examples)}


@pytest.fixture
def learn(read, tmp_path):
    """Train on rows and give the examples and the bundle."""

    def learning(rows, *, target=None, **request):
        data = "\n".join(map(json.dumps, rows)).encode()
        examples = read(data, filename="f.jsonl", target=target)
        plan = plan_training(TrainingRequest(dataset="d", name="m", **request), described(examples))
        *_, last = train(examples, plan, directory=tmp_path / "run")
        return examples, last.bundle

    return learning


def said(bundle, rows, values):
    """Give items of feedback about rows."""
    inputs = rows_from_json(rows, Predictor.load(bundle).input)[0]
    return [
        {"id": f"fb-{i}", "inputs": row, "kind": "label", "value": value, "created_at": i, "prediction_id": f"p{i}"}
        for i, (row, value) in enumerate(zip(inputs, values, strict=True))
    ]


def test_a_row_may_have_several_classes_one_or_none(learn):
    _, bundle = learn(TAGGED, architecture=LIGHT)
    answers = Predictor.load(bundle).predict(["red cat", "blue dog", "blue cat"], probabilities=True)
    assert [set(answer["labels"]) for answer in answers] == [{"animal", "colour"}, set(), {"animal"}]
    assert all(answer["scores"] == sorted(answer["scores"], reverse=True) for answer in answers)
    assert len(answers[0]["probabilities"]) == 2


def test_several_classes_are_measured_and_sliced(learn):
    examples, bundle = learn(TAGGED, architecture=LIGHT)
    figures = evaluate(bundle, examples, slice_by="from", slices=[row["from"] for row in TAGGED])
    assert figures["accuracy"] == figures["micro_f1"] == 1
    assert [(s["value"], s["rows"], s["accuracy"]) for s in figures["slices"]["values"]] == [
        ("web", 150, 1.0),
        ("mail", 50, 1.0),
    ]


def test_figures_of_several_classes_are_those_counted_by_hand():
    logits = torch.tensor([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
    figures = multilabel_figures(logits, torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), ["a", "b"])
    assert figures["accuracy"] == pytest.approx(1 / 3)
    assert figures["micro_f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert figures["macro_f1"] == pytest.approx(0.5)
    assert figures["hamming_loss"] == pytest.approx(2 / 6)
    assert figures["per_class"][1] == {"label": "b", "precision": 0, "recall": 0, "f1": 0, "rows": 1}


@pytest.mark.parametrize("strategy", ["replay_distill", "finetune", "consolidate", "retrain"])
def test_a_list_of_classes_corrects_texts(learn, tmp_path, strategy):
    examples, bundle = learn(TAGGED, architecture=TextEncoder(buckets=1024))
    feedback = said(bundle, [f"striped zebra {i}" for i in range(200)], [["animal"]] * 200)
    request = UpdateRequest(deployment="d", strategy=strategy)
    *_, last = update(bundle, feedback, examples, request, directory=tmp_path / "update")
    assert last.result["promoted"], last.result
    zebra, dog = Predictor.load(last.bundle).predict(["striped zebra 7", "blue dog"])
    assert (zebra["labels"], dog["labels"]) == (["animal"], [])


def test_a_new_class_in_a_list_gets_a_place_and_leaves_other_rows_alone(learn, tmp_path):
    examples, bundle = learn(TAGGED, architecture=LIGHT)
    feedback = said(bundle, [f"striped zebra {i}" for i in range(100)], [["animal", "stripes"]] * 100)
    request = UpdateRequest(deployment="d", strategy="retrain")
    *_, last = update(bundle, feedback, examples, request, directory=tmp_path / "update")
    zebra, dog = Predictor.load(last.bundle).predict(["striped zebra 7", "blue dog"])
    assert (set(zebra["labels"]), dog["labels"]) == ({"animal", "stripes"}, [])


@pytest.mark.parametrize("strategy", ["replay_distill", "retrain"])
def test_a_category_no_training_row_had_can_be_corrected(learn, tmp_path, strategy):
    rows = [{**row, "label": "high" if row["age"] > 25 else "low"} for row in PEOPLE]
    examples, bundle = learn([{k: r[k] for k in ("age", "job", "label")} for r in rows])
    feedback = said(bundle, [{"age": i % 20, "job": "pilot"} for i in range(200)], ["high"] * 200)
    request = UpdateRequest(deployment="d", strategy=strategy, gate=Gate(enabled=False))
    *_, last = update(bundle, feedback, examples, request, directory=tmp_path / "update")
    before, after = (Predictor.load(path).predict([{"age": 9, "job": "pilot"}])[0] for path in (bundle, last.bundle))
    assert (before["label"], after["label"]) == ("low", "high")


def test_several_values_are_learned_and_corrected_together(learn, tmp_path):
    examples, bundle = learn(PEOPLE, target={"column": ("low", "high")})
    (low, high) = Predictor.load(bundle).predict([{"age": 20, "job": "a"}])[0]["value"]
    assert (low, high) == (pytest.approx(20, abs=3), pytest.approx(41, abs=6))
    feedback = said(bundle, [{"age": i % 50, "job": "a"} for i in range(60)], [[1.0, 2.0]] * 60)
    *_, last = update(bundle, feedback, examples, UpdateRequest(deployment="d"), directory=tmp_path / "update")
    assert last.result["feedback_used"] + last.result["feedback_held_out"] == 60


def test_words_never_seen_change_an_answer_little_and_order_is_seen_by_bigrams(learn):
    rows = [{"text": "not good" if i % 2 else "good not", "label": i % 2} for i in range(60)]
    _, bundle = learn(rows, architecture=LIGHT)
    assert [a["label"] for a in Predictor.load(bundle).predict(["not good", "good not"])] == [1, 0]


def test_a_transformer_learns_too(learn):
    attention = TextEncoder(encoder="transformer", buckets=512, dimensions=16, heads=2, layers=1, max_words=8)
    rows = [{"text": f"{'free prize' if i % 2 else 'see you'} {i}", "label": i % 2} for i in range(80)]
    _, bundle = learn(rows, architecture=attention, epochs=20)
    assert [a["label"] for a in Predictor.load(bundle).predict(["free prize", "see you"])] == [1, 0]


@pytest.mark.parametrize(
    "encoder", [NgramBag(64, 8, 3), Attention(buckets=64, width=8, layers=1, heads=2, longest=4, dropout=0)]
)
def test_padding_does_not_change_a_text(encoder):
    encoder.eval()
    words = torch.tensor([[5, 6, 7]], dtype=torch.int32)
    padded = joined([words, torch.tensor([[1, 2, 3, 4, 5]], dtype=torch.int32)])
    torch.testing.assert_close(encoder(padded)[0], encoder(words)[0])


@pytest.mark.parametrize(
    "config", [LIGHT, TextEncoder(encoder="transformer", buckets=300, dimensions=8, heads=2, layers=2)]
)
def test_parameters_of_text_are_counted_right(learn, config):
    _, bundle = learn([{"text": "a b", "label": 1}, {"text": "c", "label": 2}] * 4, architecture=config, epochs=1)
    weights = Predictor.load(bundle)
    assert weights.parameters == sum(tensor.numel() for tensor in weights.network.state_dict().values())


def test_a_table_is_no_input_for_an_mlp_and_a_sentence_none_for_a_tabular_one(read):
    table = described(read(b"a,label\n1,x\n2,y\n", filename="t.csv"))
    text = described(read(b"text,label\na,x\nb,y\n", filename="t.csv"))
    for dataset, architecture, right in ((table, "mlp", "tabular_mlp"), (text, "tabular_mlp", "text_encoder")):
        request = TrainingRequest.model_validate({"dataset": "d", "name": "m", "architecture": {"type": architecture}})
        with pytest.raises(InvalidError, match=f"Use {right}"):
            plan_training(request, dataset)


def test_few_texts_get_a_small_table_and_enough_steps(read):
    plan = plan_training(
        TrainingRequest(dataset="d", name="m"), described(read(b"text,label\na,x\nb,y\n", filename="t.csv"))
    )
    assert plan.architecture == TextEncoder(buckets=4096)
    assert plan.epochs == 60


def test_a_table_larger_than_a_job_may_use_is_refused(read):
    dataset = {**described(read(b"a,label\n1,x\n2,y\n", filename="t.csv")), "rows": 10**9}
    request = TrainingRequest(dataset="d", name="m", architecture=TabularMLP())
    with pytest.raises(InvalidError, match="would take about"):
        plan_training(request, dataset, memory_limit_bytes=1 << 30)


def test_a_batch_of_texts_is_as_wide_as_its_longest(learn):
    _, bundle = learn([{"text": "a " * (1 + i % 9), "label": i % 2} for i in range(40)], architecture=LIGHT, epochs=1)
    feed = Predictor.load(bundle).feed
    held = feed.hold(np.array([b"a", b"a b c", b"a b"]))
    assert held[torch.tensor([0, 2])].shape == (2, 2)
    assert held[:].shape == (3, 3)
