"""One contract for everything that is registered: each architecture on each kind of inputs it takes, at each task.

A new architecture is under the contract by being in the registry. A new kind of inputs needs a line in SAMPLES.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lmaas.types import CNN, AudioCNN, TextEncoder, TrainingRequest
from lmaas_server.engine.bundle import load_bundle
from lmaas_server.engine.data import wav
from lmaas_server.engine.data.examples import Examples, ReadLimits
from lmaas_server.engine.data.reader import read_dataset
from lmaas_server.engine.learning.train import train
from lmaas_server.engine.planning import plan_training
from lmaas_server.engine.registry import ARCHITECTURES
from lmaas_server.engine.reports import Finished, Paused
from lmaas_server.engine.serving.predictor import Predictor

ROWS = 60
TASKS = ("classification", "regression")
LIGHT = {
    "audio_cnn": AudioCNN(channels=(4, 4), hidden=8),
    "cnn": CNN(channels=(4,), hidden=8),
    "text_encoder": TextEncoder(buckets=500, dimensions=8),
}
"""Configurations smaller than the defaults, where the defaults take their time."""
_generator = np.random.default_rng(5)
NUMBERS = _generator.normal(size=(ROWS, 8, 8)).astype(np.float32)
LABELS = (NUMBERS[:, 0, 0] > 0).astype(int)


@dataclass(frozen=True)
class Sample:
    """A file of one kind of inputs, and rows as a prediction brings them: good ones and a bad one."""

    filename: str
    write: Callable[[str], bytes]
    raw: Callable[[], list[Any]]
    bad: Any
    target: dict[str, str] | None = None


def npz(task: str, x: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=x, y=LABELS if task == "classification" else NUMBERS[:, 0, :2])
    return stream.getvalue()


def grey() -> np.ndarray:
    return (NUMBERS.clip(-2, 2) * 60 + 128).astype(np.uint8)


def pngs() -> list[dict[str, str]]:
    found = []
    for row in grey()[:6]:
        stream = io.BytesIO()
        Image.fromarray(row).save(stream, format="PNG")
        found.append({"base64": base64.b64encode(stream.getvalue()).decode()})
    return found


def sentences() -> list[str]:
    return words()[:6]


def words() -> list[str]:
    return [f"{'good fine' if label else 'bad poor'} thing number {i}" for i, label in enumerate(LABELS)]


def csv(task: str, header: str, cells: list[str]) -> bytes:
    targets = LABELS if task == "classification" else NUMBERS[:, 0, 0].round(3)
    lines = [f"{cell},{target}" for cell, target in zip(cells, targets, strict=True)]
    return "\n".join([f"{header},y", *lines]).encode()


def tones(task: str) -> bytes:
    """Clips of three lengths, whose pitch is the label or the value."""
    stream = io.BytesIO()
    hertz = 500 + 700 * LABELS + 40 * np.arange(ROWS)
    parts = [np.sin(h * np.arange(800 + 200 * (i % 3)) / 2000).astype(np.float32) / 2 for i, h in enumerate(hertz)]
    y = LABELS if task == "classification" else hertz / 1000
    np.savez(stream, audio=np.concatenate(parts), offset=np.cumsum([0, *map(len, parts)]), y=y, sample_rate=8000)
    return stream.getvalue()


def wavs() -> list[Any]:
    data = [wav.encode((np.sin(np.arange(900) * h) * 9999).astype(np.int16), 8000) for h in (0.2, 0.3, 0.5, 0.7)]
    return [*({"base64": base64.b64encode(one).decode()} for one in data), [0.1, -0.1] * 300, [5, -5] * 900]


SAMPLES = {
    "audio": Sample("s.npz", tones, wavs, {"base64": "AAAA"}),
    "tensor": Sample("t.npz", lambda task: npz(task, NUMBERS), NUMBERS[:6].tolist, [[1.0]]),
    "image": Sample("i.npz", lambda task: npz(task, grey()), pngs, {"base64": "AAAA"}),
    "text": Sample("t.csv", lambda task: csv(task, "text", words()), sentences, 7),
    "table": Sample(
        "t.csv",
        lambda task: csv(
            task,
            "size,colour",
            [f"{a:.3f},{'red' if b else 'blue'}" for a, b in zip(NUMBERS[:, 0, 0], LABELS, strict=True)],
        ),
        lambda: [{"size": float(NUMBERS[i, 0, 0]), "colour": "red" if LABELS[i] else "blue"} for i in range(6)],
        7,
        {"column": "y"},
    ),
}
CASES = [
    pytest.param(name, kind, task, id=f"{name}-{kind}-{task}")
    for name, entry in ARCHITECTURES.items()
    for kind, task in itertools.product(entry.inputs, TASKS)
]


@dataclass(frozen=True)
class Fitted:
    """A trained case: its rows, its request, and where its bundle lies."""

    examples: Examples
    request: TrainingRequest
    report: Finished
    sample: Sample

    @property
    def predictor(self) -> Predictor:
        return Predictor.load(self.report.bundle)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Train each case once."""
    made: dict[tuple[str, str, str], Fitted] = {}

    def fitting(name: str, kind: str, task: str) -> Fitted:
        if (name, kind, task) not in made:
            made[name, kind, task] = fit(name, kind, task, tmp_path_factory.mktemp(f"{name}-{kind}-{task}"))
        return made[name, kind, task]

    return fitting


def fit(name: str, kind: str, task: str, directory: Path) -> Fitted:
    sample = SAMPLES[kind]
    path = directory / sample.filename
    path.write_bytes(sample.write(task))
    target = {**(sample.target or {}), "kind": "class" if task == "classification" else "value"}
    limits = ReadLimits(max_unpacked_bytes=1 << 24)
    examples = read_dataset(path, input={"kind": kind}, target=target, limits=limits)
    architecture = LIGHT.get(name) or ARCHITECTURES[name].config()
    request = TrainingRequest(dataset="d", name="m", architecture=architecture, epochs=2, batch_size=16, seed=3)
    described = {"input": examples.input, "target": examples.target, "rows": len(examples)}
    plan = plan_training(request, described)
    *_, last = train(examples, plan, directory=directory / "run")
    return Fitted(examples, plan, last, sample)


def numbers(answers: list[dict[str, Any]]) -> np.ndarray:
    return np.array([a.get("probabilities") or a["value"] for a in answers])


def test_every_kind_of_inputs_has_a_sample():
    assert {kind for entry in ARCHITECTURES.values() for kind in entry.inputs} <= set(SAMPLES)


@pytest.mark.parametrize(("name", "kind", "task"), CASES)
def test_raw_rows_are_answered(fitted, name, kind, task):
    case = fitted(name, kind, task)
    answers = case.predictor.predict(case.sample.raw())
    assert all({"label", "score"} <= set(a) if task == "classification" else "value" in a for a in answers)


@pytest.mark.parametrize(("name", "kind", "task"), CASES)
def test_a_bad_row_is_named_and_its_neighbours_answer(fitted, name, kind, task):
    case = fitted(name, kind, task)
    good = case.sample.raw()
    answers = case.predictor.predict([good[0], case.sample.bad, good[1]])
    assert [("error" in a) for a in answers] == [False, True, False]
    assert "row 1" in answers[1]["error"]["message"]


@pytest.mark.parametrize(("name", "kind", "task"), CASES)
def test_a_batch_predicts_as_singles(fitted, name, kind, task):
    case = fitted(name, kind, task)
    raw, predictor = case.sample.raw(), case.predictor
    together = numbers(predictor.predict(raw, probabilities=True))
    alone = np.concatenate([numbers(predictor.predict([row], probabilities=True)) for row in raw])
    assert together == pytest.approx(alone, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(("name", "kind", "task"), CASES)
def test_a_seeded_run_repeats(fitted, tmp_path, name, kind, task):
    case = fitted(name, kind, task)
    *_, again = train(case.examples, case.request, directory=tmp_path)
    assert again.result["weights_sha256"] == case.report.result["weights_sha256"]


@pytest.mark.parametrize(("name", "kind", "task"), CASES)
def test_a_run_resumed_from_a_checkpoint_ends_with_the_same_weights(fitted, tmp_path, name, kind, task):
    case = fitted(name, kind, task)
    asked = itertools.count()
    reports = train(
        case.examples, case.request, directory=tmp_path / "a", control=lambda: "pause" if next(asked) == 3 else None
    )
    with pytest.raises(Paused):
        list(reports)
    checkpoint = next((tmp_path / "a" / "checkpoints").iterdir())
    *_, last = train(case.examples, case.request, directory=tmp_path / "b", resume=checkpoint)
    assert last.result["weights_sha256"] == case.report.result["weights_sha256"]


@pytest.mark.parametrize(("name", "kind", "task"), CASES)
def test_the_size_planned_is_the_size_built(fitted, name, kind, task):
    network = load_bundle(fitted(name, kind, task).report.bundle).network()
    built = sum(parameter.numel() for parameter in network.parameters())
    assert built == fitted(name, kind, task).report.result["parameters"]


def test_a_new_process_gives_the_same_outputs(fitted, tmp_path):
    """All cases in one process, because loading torch takes longer than all of them."""
    cases = [fitted(*case.values) for case in CASES]
    spec = [{"bundle": str(case.report.bundle), "raw": case.sample.raw()} for case in cases]
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    code = """
        import json, pathlib, sys, torch
        torch.set_num_threads(1)
        from lmaas_server.engine.serving.predictor import Predictor
        spec = json.loads(pathlib.Path(sys.argv[1]).read_text())
        load = lambda case: Predictor.load(pathlib.Path(case["bundle"]))
        print(json.dumps([load(case).predict(case["raw"], probabilities=True) for case in spec]))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "spec.json")]
    found = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert torch.get_num_threads() == 1
    assert found == [case.predictor.predict(case.sample.raw(), probabilities=True) for case in cases]
