"""Explanations: they add up, they are shaped like the row, and they point at what decides."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_sounds import tone, tones_npz
from PIL import Image

from lmaas.types import CNN, MLP, Adam, AudioCNN, CausalLM, Llama, TextEncoder, TrainingRequest
from lmaas_server.engine.base_models import BaseModels
from lmaas_server.engine.data.examples import ReadLimits
from lmaas_server.engine.data.reader import read_dataset
from lmaas_server.engine.language_planning import plan_language
from lmaas_server.engine.learning.language import train_language
from lmaas_server.engine.learning.train import train
from lmaas_server.engine.planning import plan_training
from lmaas_server.engine.serving.explain import METHODS, explain
from lmaas_server.engine.serving.points import POINTS
from lmaas_server.engine.serving.predictor import Predictor
from lmaas_server.engine.serving.text_predictor import TextPredictor
from lmaas_server.errors import InvalidError

_generator = np.random.default_rng(3)
CLASSES = np.arange(120) % 2
NUMBERS = _generator.normal(size=(120, 6)).astype(np.float32)
NUMBERS[:, 2] += CLASSES * 6 - 3
SPOT = slice(8, 12)
"""Where a picture of class 1 is bright."""


def npz(x: np.ndarray, y: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=x, y=y)
    return stream.getvalue()


def pictures() -> np.ndarray:
    found = _generator.integers(0, 60, size=(120, 16, 16, 3), dtype=np.uint8)
    found[CLASSES == 1, SPOT, SPOT] = 230
    return found


def png(picture: np.ndarray) -> dict[str, str]:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, format="PNG")
    return {"base64": base64.b64encode(stream.getvalue()).decode()}


def sentences() -> bytes:
    lines = [
        f"the {'wonderful' if c else 'awful'} film number {i % 7},{'good' if c else 'bad'}"
        for i, c in enumerate(CLASSES)
    ]
    return "\n".join(["text,label", *lines]).encode()


def people() -> bytes:
    lines = [f"{20 + i % 50},{'red' if c else 'blue'},{'yes' if c else 'no'}" for i, c in enumerate(CLASSES)]
    return "\n".join(["age,colour,label", *lines]).encode()


PICTURES = pictures()
LIGHT_TEXT = {"buckets": 512, "dimensions": 8}
MODELS: dict[str, tuple[str, bytes, Any, Any]] = {
    "tensor": ("t.npz", npz(NUMBERS, CLASSES), MLP(hidden=(16,)), NUMBERS[1].tolist()),
    "image": ("i.npz", npz(PICTURES, CLASSES), CNN(channels=(8, 8), hidden=16), png(PICTURES[1])),
    "audio": ("s.npz", tones_npz(), AudioCNN(channels=(8, 8), hidden=16), tone(1800).tolist()),
    "text": ("t.csv", sentences(), TextEncoder(**LIGHT_TEXT), "A wonderful film!"),
    "attention": (
        "t.csv",
        sentences(),
        TextEncoder(encoder="transformer", layers=1, heads=2, **LIGHT_TEXT),
        "A wonderful film!",
    ),
    "table": ("t.csv", people(), None, {"age": 30, "colour": "red"}),
    "values": ("v.npz", npz(NUMBERS, NUMBERS[:, :2] * [10, -1]), MLP(hidden=()), NUMBERS[1].tolist()),
}
KINDS = {"attention": "text", "values": "tensor"}
EXACT = pytest.mark.parametrize("method", sorted(set(METHODS) - {"saliency"}))
"""Saliency says how steep it is where the row lies, not what brought it there."""
CASES = pytest.mark.parametrize("name", MODELS)


def fitted(name: str, directory: Path) -> Predictor:
    filename, data, architecture, _ = MODELS[name]
    path = directory / filename
    path.write_bytes(data)
    asked = {"kind": KINDS.get(name, name)}
    examples = read_dataset(path, input=asked, limits=ReadLimits(max_unpacked_bytes=1 << 24))
    epochs, optimizer = 40 if name == "values" else 8, Adam(lr=0.01)
    request = TrainingRequest(
        dataset="d", name="m", architecture=architecture, epochs=epochs, batch_size=16, optimizer=optimizer
    )
    described = {"input": examples.input, "target": examples.target, "rows": len(examples)}
    *_, last = train(examples, plan_training(request, described), directory=directory / "run")
    return Predictor.load(last.bundle)


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """Explain the row of a model, which is trained once."""
    predictors: dict[str, Predictor] = {}

    def explaining(name: str, method: str = "integrated_gradients", rows: list[Any] | None = None, **how: Any):
        if name not in predictors:
            predictors[name] = fitted(name, tmp_path_factory.mktemp(name))
        found = explain(predictors[name], rows or [MODELS[name][3]], method=method, **how)
        return found if rows else found[0]

    return explaining


def flat(attributions: Any) -> np.ndarray:
    return np.array(list(attributions.values()) if isinstance(attributions, dict) else attributions)


def test_every_kind_of_inputs_has_a_point():
    assert set(POINTS) == {KINDS.get(name, name) for name in MODELS}


@CASES
def test_integrated_gradients_add_up(explained, name):
    found = explained(name)
    there = found["output"] - found["baseline_output"]
    assert abs(found["delta"]) <= 0.01 * abs(there) + 1e-6
    assert flat(found["attributions"]).sum() == pytest.approx(there + found["delta"], rel=1e-4, abs=1e-5)


@CASES
def test_the_row_is_predicted_as_it_is_explained(explained, name):
    found = explained(name)
    assert found["target"] == found.get("label", 0)
    assert "score" in found if name != "values" else found["value"][0] == pytest.approx(found["output"], rel=1e-5)


@CASES
@pytest.mark.parametrize("method", METHODS)
def test_attributions_are_shaped_like_the_row(explained, name, method):
    found = explained(name, method)
    shapes = {"tensor": (6,), "values": (6,), "image": (16, 16, 3), "text": (4,), "attention": (4,), "table": (2,)}
    shape = flat(found["attributions"]).shape
    assert shape == shapes.get(name) or (name == "audio" and shape == np.shape(found["levels"]))
    assert np.isfinite(flat(found["attributions"])).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_number_that_decides_gets_the_most(explained, method):
    assert np.abs(explained("tensor", method)["attributions"]).argmax() == 2


@EXACT
def test_the_spot_of_a_picture_that_decides_gets_the_most(explained, method):
    found = np.abs(explained("image", method)["attributions"]).sum(axis=2)
    assert found[SPOT, SPOT].mean() > 2 * found.mean()


@pytest.mark.parametrize("name", ["text", "attention"])
@EXACT
def test_the_word_that_decides_gets_the_most(explained, name, method):
    found = explained(name, method)
    assert found["tokens"] == ["A", "wonderful", "film", "!"]
    assert found["tokens"][int(np.abs(found["attributions"]).argmax())] == "wonderful"


@pytest.mark.parametrize("method", METHODS)
def test_the_column_that_decides_gets_the_most(explained, method):
    found = explained("table", method)
    assert list(found["attributions"]) == ["age", "colour"]
    assert abs(found["attributions"]["colour"]) > abs(found["attributions"]["age"])
    assert found["input"] == {"age": 30, "colour": "red"}


def test_a_tone_is_heard_in_its_own_bands(explained):
    found = explained("audio")
    weight = np.abs(found["attributions"]).sum(axis=1)
    heard = np.array(found["hertz"])[weight > 0.5 * weight.max()]
    assert heard.min() > 400
    assert found["frame_seconds"] == 0.01


def test_a_linear_model_gets_its_weights_times_the_row(explained):
    """There is nothing else that could add up; values are in the units of the data."""
    found = np.array(explained("values", target=0)["attributions"])
    assert np.abs(found).argmax() == 0
    assert found[0] == pytest.approx(10 * (NUMBERS[1, 0] - NUMBERS[:, 0].mean()), abs=1.5)


def test_another_class_may_be_explained(explained):
    for_it, against = explained("text", target="good"), explained("text", target="bad")
    assert for_it["attributions"][1] > 0 > against["attributions"][1]
    assert against["label"] == "good"


def test_a_bad_row_is_named_and_its_neighbours_are_explained(explained):
    first, bad, last = explained("tensor", rows=[NUMBERS[0].tolist(), [1.0], NUMBERS[1].tolist()])
    assert bad["error"]["code"] == "shape_mismatch"
    assert len(first["attributions"]) == len(last["attributions"]) == 6


@pytest.mark.parametrize(("name", "target"), [("text", "goood"), ("tensor", 2), ("tensor", "1"), ("values", 2)])
def test_an_unknown_target_is_refused_with_those_there_are(explained, name, target):
    with pytest.raises(InvalidError) as caught:
        explained(name, target=target)
    assert (caught.value.code, caught.value.param) == ("target_unknown", "target")


def test_what_is_no_predictor_cannot_be_explained():
    with pytest.raises(InvalidError) as caught:
        explain(object(), ["Once"], method="saliency")
    assert caught.value.code == "explanation_unsupported"


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """A tiny language model for which `b` follows `a`, and `d` follows `c`."""
    path = tmp_path_factory.mktemp("writer") / "t.txt"
    path.write_text("xabx xcdx xabx xcdx\n\n" * 200)
    examples = read_dataset(path, limits=ReadLimits(max_unpacked_bytes=1 << 20))
    llama = Llama(layers=1, heads=2, width=32, context=16, tokenizer="char")
    request = TrainingRequest(dataset="d", name="m", architecture=CausalLM(llama=llama), epochs=12, seed=1)
    described = {"input": examples.input, "target": examples.target, "rows": len(examples)}
    plan = plan_language(request, described, base_models=BaseModels())
    *_, last = train_language(examples, plan, directory=path.parent / "run")
    return TextPredictor.load(last.bundle)


@pytest.mark.parametrize("method", METHODS)
def test_the_token_that_decides_what_follows_a_prompt_stands_out(writer, method):
    row, bad = explain(writer, ["xabx xc", ""], method=method)
    assert (row["label"], row["target"], row["kind"]) == ("d", "d", "text")
    assert row["score"] > 0.5
    sizes = dict(zip(range(len(row["tokens"])), np.abs(row["attributions"]), strict=True))
    assert row["tokens"][max(sizes, key=sizes.get)] == "c"
    assert bad["error"]["code"] == "text_empty"


def test_the_attributions_of_a_prompt_add_up_and_their_spans_are_its_text(writer):
    (row,) = explain(writer, ["xabx xc"], method="integrated_gradients", target="b")
    assert row["target"] == "b"
    assert row["label"] == "d"
    there = row["output"] - row["baseline_output"]
    assert sum(row["attributions"]) == pytest.approx(there + row["delta"], abs=1e-4)
    assert abs(row["delta"]) < 0.05 * abs(there) + 0.05
    assert [row["input"][first:last] for first, last in row["spans"]] == row["tokens"]


def test_a_token_there_is_none_of_is_refused(writer):
    with pytest.raises(InvalidError, match="there is no token 'cat'") as caught:
        explain(writer, ["x"], method="saliency", target="cat")
    assert (caught.value.code, caught.value.param) == ("target_unknown", "target")
