"""What the contract runs over: every registered architecture on each kind of inputs it takes, at each kind of target.

A new architecture is a case by being in the registry. A new kind of inputs needs a line in SAMPLES, a new way to teach
a language model one in LANGUAGE. The child processes of the contract import this file too.
"""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lmaas.types import CNN, AudioCNN, CausalLM, Llama, LoRA, PredictionParameters, TextEncoder, TrainingRequest
from lmaas_server.engine.base_models import BaseModels
from lmaas_server.engine.data import wav
from lmaas_server.engine.data.examples import Examples, ReadLimits
from lmaas_server.engine.data.reader import read_dataset
from lmaas_server.engine.language_planning import plan_language
from lmaas_server.engine.learning.language import train_language
from lmaas_server.engine.learning.train import train
from lmaas_server.engine.planning import plan_training
from lmaas_server.engine.registry import ARCHITECTURES
from lmaas_server.engine.reports import Report
from lmaas_server.engine.serving.predictor import Predictor
from lmaas_server.engine.serving.text_predictor import TextPredictor

ROWS = 60
LIMITS = ReadLimits(max_unpacked_bytes=1 << 24)
LIGHT: dict[str, Any] = {
    "audio_cnn": AudioCNN(channels=(4, 4), hidden=8),
    "cnn": CNN(channels=(4,), hidden=8),
    "text_encoder": TextEncoder(buckets=500, dimensions=8),
}
"""Configurations smaller than the defaults, where the defaults take their time."""
TINY = Llama(layers=1, heads=2, width=16, context=64, tokenizer="char")
_generator = np.random.default_rng(5)
NUMBERS = _generator.normal(size=(ROWS, 8, 8)).astype(np.float32)
LABELS = (NUMBERS[:, 0, 0] > 0).astype(int)
VALUES = NUMBERS[:, 0, :2].round(3)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A file of one kind of inputs, and rows as a prediction brings them: good ones and a bad one."""

    filename: str
    write: Callable[[str], bytes]
    raw: Callable[[], list[Any]]
    bad: Any
    forms: tuple[str, ...]
    """Kinds of targets that such a file can hold."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One thing that can be trained: data, architecture, task."""

    name: str
    task: str
    architecture: Any
    sample: Sample
    form: str
    input: dict[str, str] = field(default_factory=dict)
    target: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return self.name

    def examples(self, directory: Path) -> Examples:
        """Write the file into a directory and read it."""
        path = directory / self.sample.filename
        path.write_bytes(self.sample.write(self.form))
        return read_dataset(path, input=self.input, target=self.target, limits=LIMITS)

    def plan(self, examples: Examples) -> TrainingRequest:
        """Plan two epochs of a few steps."""
        described = {"input": examples.input, "target": examples.target, "rows": len(examples)}
        wanted = {"architecture": self.architecture, "epochs": 2, "batch_size": 16, "seed": 3}
        request = TrainingRequest(dataset="d", name="m", **wanted)
        if self.task == "generation":
            return plan_language(request, described, base_models=BaseModels())
        return plan_training(request, described)

    def train(self, examples: Examples, directory: Path, **rest: Any) -> Iterator[Report]:
        """Train as a job does."""
        if self.task != "generation":
            return train(examples, self.plan(examples), directory=directory, **rest)
        name = self.architecture.base_model
        base = BaseModels().get(name).directory if name else None
        return train_language(examples, self.plan(examples), directory=directory, base=base, **rest)

    def load(self, bundle: Path) -> Callable[[list[Any]], list[dict[str, Any]]]:
        """Load a bundle; what is returned answers rows, all at once."""
        if self.task != "generation":
            predictor = Predictor.load(bundle)
            return lambda rows: predictor.predict(rows, probabilities=True)
        writer = TextPredictor.load(bundle)
        parameters = PredictionParameters(temperature=0, max_tokens=6, logprobs=0)
        return lambda rows: writer.answer(rows, parameters)

    def singly(self, bundle: Path, rows: list[Any]) -> list[dict[str, Any]]:
        """Load a bundle and answer row by row: which texts are written together is a matter of time."""
        answer = self.load(bundle)
        return [answer([row])[0] for row in rows]


def numbers(answers: list[dict[str, Any]]) -> list[np.ndarray]:
    """Return what answers hold of numbers, row by row."""
    found = []
    for answer in answers:
        of_tokens = [token["logprob"] for token in answer.get("logprobs", ())]
        found.append(np.array(answer.get("probabilities") or answer.get("value") or of_tokens, dtype=float))
    return found


def npz(form: str, x: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, x=x, y=LABELS if form == "class" else VALUES)
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


def words() -> list[str]:
    return [f"{'good fine' if label else 'bad poor'} thing number {i}" for i, label in enumerate(LABELS)]


def columns(form: str, **cells: list[Any]) -> bytes:
    """Write a csv of these columns and the targets: `y`, and `z` where there are two values."""
    targets: dict[str, list[Any]] = {
        "class": {"y": LABELS.tolist()},
        "classes": {"y": [("a|b", "a", "b", "")[i % 4] + f"|{'cd'[label]}" for i, label in enumerate(LABELS)]},
        "value": {"y": VALUES[:, 0].tolist()},
        "values": {"y": VALUES[:, 0].tolist(), "z": VALUES[:, 1].tolist()},
    }[form]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*cells, *targets])
    writer.writerows(zip(*cells.values(), *targets.values(), strict=True))
    return stream.getvalue().encode()


def table() -> list[dict[str, Any]]:
    pairs = zip(NUMBERS[:, 0, 0].round(3).tolist(), LABELS, strict=True)
    return [{"size": size, "colour": "red" if label else "blue"} for size, label in pairs]


def tones(form: str) -> bytes:
    """Clips of three lengths, whose pitch is the label or the value."""
    stream = io.BytesIO()
    hertz = 500 + 700 * LABELS + 40 * np.arange(ROWS)
    parts = [np.sin(h * np.arange(800 + 200 * (i % 3)) / 2000).astype(np.float32) / 2 for i, h in enumerate(hertz)]
    y = LABELS if form == "class" else hertz / 1000
    np.savez(stream, audio=np.concatenate(parts), offset=np.cumsum([0, *map(len, parts)]), y=y, sample_rate=8000)
    return stream.getvalue()


def wavs() -> list[Any]:
    data = [wav.encode((np.sin(np.arange(900) * h) * 9999).astype(np.int16), 8000) for h in (0.2, 0.3, 0.5, 0.7)]
    return [*({"base64": base64.b64encode(one).decode()} for one in data), [0.1, -0.1] * 300, [5, -5] * 900]


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


def conversations(_: str) -> bytes:
    asked = [{"role": "user", "content": f"is {i} odd?"} for i in range(ROWS)]
    said = [{"role": "assistant", "content": ("no", "yes")[i % 2]} for i in range(ROWS)]
    return jsonl([{"messages": [ask, answer]} for ask, answer in zip(asked, said, strict=True)])


SAMPLES = {
    "audio": Sample(filename="s.npz", write=tones, raw=wavs, bad={"base64": "AAAA"}, forms=("class", "value")),
    "tensor": Sample(
        filename="t.npz",
        write=lambda form: npz(form, NUMBERS),
        raw=NUMBERS[:6].tolist,
        bad=[[1.0]],
        forms=("class", "values"),
    ),
    "image": Sample(
        filename="i.npz",
        write=lambda form: npz(form, grey()),
        raw=pngs,
        bad={"base64": "AAAA"},
        forms=("class", "values"),
    ),
    "text": Sample(
        filename="t.csv",
        write=lambda form: columns(form, text=words()),
        raw=lambda: words()[:6],
        bad=7,
        forms=("class", "classes", "value"),
    ),
    "table": Sample(
        filename="t.csv",
        write=lambda form: columns(
            form, size=[row["size"] for row in table()], colour=[row["colour"] for row in table()]
        ),
        raw=lambda: table()[:6],
        bad=7,
        forms=("class", "classes", "value", "values"),
    ),
}
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "class": ("classification", {"kind": "class"}),
    "classes": ("multilabel_classification", {"kind": "class", "column": "y", "separator": "|"}),
    "value": ("regression", {"kind": "value"}),
    "values": ("regression", {"kind": "value", "column": ("y", "z")}),
}
"""Kinds of targets, and how the reader is told of them."""
LANGUAGE = {
    "chat": Sample(
        filename="c.jsonl",
        write=conversations,
        raw=lambda: ["is 3 odd?", "is 4 odd?", {"prompt": "is"}, {"messages": [{"role": "user", "content": "odd?"}]}],
        bad=7,
        forms=("text",),
    ),
    "completion": Sample(
        filename="p.jsonl",
        write=lambda _: jsonl([{"prompt": f"{i} is ", "completion": ("even", "odd")[i % 2]} for i in range(ROWS)]),
        raw=lambda: ["3 is ", "14 is ", "5"],
        bad="",
        forms=("text",),
    ),
    "running": Sample(
        filename="v.txt",
        write=lambda _: "".join(f"the cat sat on mat {n % 7}\nand ran.\n\n" for n in range(150)).encode(),
        raw=lambda: ["the cat", "and ran", "m"],
        bad={"text": "x"},
        forms=("none",),
    ),
}
ADAPTED = {"full": CausalLM(llama=TINY), "lora": CausalLM(base_model="stories-260k", lora=LoRA(rank=2, dropout=0.1))}


def _registered() -> Iterator[Case]:
    for name, entry in ARCHITECTURES.items():
        for kind in entry.inputs:
            for form in SAMPLES[kind].forms:
                task, target = FORMS[form]
                yield Case(
                    name=f"{name}-{kind}-{form}",
                    task=task,
                    architecture=LIGHT.get(name) or entry.config(),
                    sample=SAMPLES[kind],
                    form=form,
                    input={"kind": kind},
                    target=target if SAMPLES[kind].filename.endswith("csv") else {"kind": target["kind"]},
                )
    for taught, sample in LANGUAGE.items():
        for how in ADAPTED if taught == "completion" else ("full",):
            yield Case(
                name=f"causal_lm-{taught}-{how}",
                task="generation",
                architecture=ADAPTED[how],
                sample=sample,
                form=sample.forms[0],
            )


CASES = {case.name: case for case in _registered()}
