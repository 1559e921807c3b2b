"""The engine's work as a job's process does it: reads the files the spec names, says what it found, hands over.

One function per kind of job, each `(spec, control) -> reports`. Knows no database: paths and descriptions come in
the spec, and the bundle it makes lies in the spec's directory.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import torch

from lmaas.types import TrainingRequest, UpdateRequest
from lmaas_server.engine.bundle import describe_bundle
from lmaas_server.engine.data.examples import Examples, ReadLimits
from lmaas_server.engine.data.kinds import input_spec, target_spec
from lmaas_server.engine.data.reader import column_values, read_dataset
from lmaas_server.engine.device import CPU, device, use
from lmaas_server.engine.learning.evaluate import evaluate
from lmaas_server.engine.learning.train import train
from lmaas_server.engine.learning.update import update
from lmaas_server.engine.reports import Finished, Message, Progress, Report
from lmaas_server.jobs.protocol import Done, Said
from lmaas_server.jobs.statements import read_statements, read_text_statements
from lmaas_server.jobs.threads import training_threads, update_threads

Json = dict[str, Any]
Control = Callable[[], str | None]


def run_training(spec: Json, control: Control) -> Iterator[Said]:
    """Train a network on a dataset."""
    request = TrainingRequest.model_validate_json(orjson.dumps(spec["request"]))
    spec = {**spec, "threads": training_threads(request, spec["dataset"], spec["threads"])}
    _use_machine(spec)
    like = describe_bundle(Path(spec["base"])) if spec["base"] and request.task != "generation" else spec["dataset"]
    examples = _read(_at_rate_of(like, spec["dataset"]))
    yield _told(examples, spec)
    reports = (_language().train_language if request.task == "generation" else train)(
        examples,
        request,
        validation=_read_as(_at_rate_of(like, spec["validation"]), spec["dataset"]) if spec["validation"] else None,
        base=_path(spec["base"]),
        directory=Path(spec["directory"]),
        resume=_path(spec["resume"]),
        control=control,
    )
    yield from _handed_over(reports)


def run_evaluation(spec: Json, _control: Control) -> Iterator[Said]:
    """Measure a model on a dataset."""
    _use_machine(spec)
    bundle = Path(spec["bundle"])
    model = describe_bundle(bundle)
    examples = _read_as(_at_rate_of(model, spec["dataset"]), model)
    yield _told(examples, spec)
    yield Progress(0, 1, 0, 0)
    if model["task"] == "generation":
        metrics = _language().evaluate_language(bundle, examples, spec["batch_size"])
    else:
        by = spec["slice_by"]
        slices = _slices(spec["dataset"], by) if by else ()
        metrics = evaluate(bundle, examples, spec["batch_size"], slice_by=by, slices=slices)
    yield Progress(1, 1, 0, 0)
    yield Done(None, metrics, {"rows": len(examples)})


def run_update(spec: Json, control: Control) -> Iterator[Said]:
    """Learn from feedback."""
    bundle = Path(spec["bundle"])
    model = describe_bundle(bundle)
    _use_machine({**spec, "threads": update_threads(model, spec["threads"])})
    if model["task"] == "generation":
        yield from _handed_over(_language_update(bundle, spec, control))
        return
    items, unreadable = read_statements(Path(spec["statements"]), model["input"])
    if unreadable:
        text = f"{unreadable:,} items of feedback are left out: the inputs of their predictions do not fit this model."
        yield Message("warning", text, {"items": unreadable})
    reports = update(
        bundle,
        items,
        _read(_at_rate_of(model, spec["dataset"])) if spec["dataset"] else None,
        UpdateRequest.model_validate_json(orjson.dumps(spec["request"])),
        directory=Path(spec["directory"]),
        resume=_path(spec["resume"]),
        control=control,
        retracted=spec["retracted"],
    )
    yield from _handed_over(reports)


def _language_update(bundle: Path, spec: Json, control: Control) -> Iterator[Report]:
    reports: Iterator[Report] = importlib.import_module("lmaas_server.engine.learning.language_update").update_language(
        bundle,
        read_text_statements(Path(spec["statements"])),
        _read(spec["dataset"]) if spec["dataset"] else None,
        UpdateRequest.model_validate_json(orjson.dumps(spec["request"])),
        base=_path(spec["base"]),
        directory=Path(spec["directory"]),
        resume=_path(spec["resume"]),
        control=control,
        retracted=spec["retracted"],
    )
    return reports


def _language() -> Any:
    """Return how language models learn; loaded for them alone, for it brings transformers along."""
    return importlib.import_module("lmaas_server.engine.learning.language")


def _handed_over(reports: Iterator[Report]) -> Iterator[Said]:
    """Pass reports on; the last becomes a `Done` that describes the model, whose bundle the server cannot read."""
    for report in reports:
        if isinstance(report, Finished):
            yield Done(report.bundle, report.metrics, report.result, _described(report.bundle))
        else:
            yield report


def _described(bundle: Path | None) -> Json | None:
    if bundle is None:
        return None
    config = describe_bundle(bundle)
    kept = {key: config[key] for key in ("task", "architecture", "input", "target", "parameters")}
    size = (bundle / "weights.safetensors").stat().st_size
    return {**kept, "sha256": config["weights_sha256"], "bytes": size}


def _read(dataset: Json) -> Examples:
    return read_dataset(
        Path(dataset["path"]),
        filename=dataset["name"],
        format=dataset["format"],
        input=input_spec(dataset["input"]),
        target=target_spec(dataset["target"]),
        limits=_limits(dataset),
    )


def _read_as(dataset: Json, described: Json) -> Examples:
    """Read a dataset as another was read: the columns of a table are of the types they had in training."""
    if "columns" not in described["input"]:
        return _read(dataset)
    how = {key: value for key, value in dataset["input"].items() if key in {"encoding", "delimiter", "header"}}
    given = {key: value for key, value in described["input"].items() if key not in {"encoding", "delimiter", "header"}}
    target = {**described["target"], "columns": dataset["target"].get("columns")}
    return _read({**dataset, "input": given | how, "target": target})


def _at_rate_of(described: Json, dataset: Json) -> Json:
    """Return a dataset so that its clips are resampled to the rate of what is described; any other as it is."""
    rate = described["input"].get("sample_rate")
    return {**dataset, "input": {**dataset["input"], "sample_rate": rate}} if rate else dataset


def _slices(dataset: Json, column: str) -> list[str]:
    return column_values(
        Path(dataset["path"]),
        filename=dataset["name"],
        format=dataset["format"],
        input=input_spec(dataset["input"]),
        column=column,
        limits=_limits(dataset),
    )


def _limits(dataset: Json) -> ReadLimits:
    limits = {name: dataset[name] for name in ("max_unpacked_bytes", "max_memory_bytes")}
    if "max_seconds" in dataset["input"]:  # the limit that was in force when the clips were taken
        limits["max_clip_seconds"] = dataset["input"]["max_seconds"]
    return ReadLimits(**limits)


def _told(examples: Examples, spec: Json) -> Message:
    kind, shape = examples.input["kind"], tuple(examples.input.get("shape", ()))
    dataset, threads = spec["dataset"], spec["threads"]
    computing = (
        f"computing with {threads} thread{'s' * (threads > 1)}" if device() == CPU else f"computing on {device()}"
    )
    text = f"Read {len(examples):,} rows of {kind} {shape} from {dataset['id']}; {computing}."
    return Message(
        "info", text, {"dataset": dataset["id"], "rows": len(examples), "threads": threads, "device": device()}
    )


def _use_machine(spec: Json) -> None:
    torch.set_num_threads(spec["threads"])
    use(spec["device"])


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value)
