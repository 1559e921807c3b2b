"""Feedback with the inputs it is about, packed into a folder for a job; knows no learning and imports no torch.

    statements.jsonl   a line per item: what is said, about which row of which prediction, and what was shown there
    inputs.json        prediction -> [offset, length, content type]
    inputs.bin         the predictions' inputs as they came, one after the other

It is packed once, when the job first begins, so that an attempt after a crash learns from the same items.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic_core import from_json

from lmaas_server.engine.data.examples import Array
from lmaas_server.records import FeedbackRecord, PredictionRecord

Json = dict[str, Any]
NPY = "application/x-npy"


def predictions_of(items: Iterable[FeedbackRecord]) -> set[str]:
    """Return the ids of the predictions that items are about: also those that another is preferred over."""
    found: set[str] = set()
    for item in items:
        found.add(item.prediction_id)
        if item.kind == "preference" and "over" in item.value:
            found.add(item.value["over"])
    return found


def pack_statements(
    folder: Path, items: Iterable[FeedbackRecord], predictions: Mapping[str, PredictionRecord]
) -> list[str]:
    """Write the items whose predictions kept their inputs; return their ids, in order.

    Of a preference over another prediction both texts are written down; one whose other prediction is gone is not.
    """
    folder.mkdir(parents=True)
    index: dict[str, tuple[int, int, str]] = {}
    packed: list[str] = []
    with (folder / "statements.jsonl").open("wb") as lines, (folder / "inputs.bin").open("wb") as blob:
        for item in items:
            prediction = predictions.get(item.prediction_id)
            if prediction is None or prediction.inputs is None:
                continue
            if (texts := _texts(item, prediction, predictions)) is None:
                continue
            if prediction.id not in index:
                index[prediction.id] = (blob.tell(), len(prediction.inputs), prediction.inputs_type or "")
                blob.write(prediction.inputs)
            lines.write(orjson.dumps({**_line(item, prediction), **texts}, option=orjson.OPT_APPEND_NEWLINE))
            packed.append(item.id)
    (folder / "inputs.json").write_bytes(orjson.dumps(index))
    return packed


def read_statements(folder: Path, described: Json) -> tuple[list[Json], int]:
    """Return the items with their row of inputs, for a model whose inputs are so `described`.

    Returns:
        The items, and how many were left out because their row does not fit the model.
    """
    from lmaas_server.engine.data.reader import rows_from_json  # late: packing does without numpy

    lines = (folder / "statements.jsonl").read_bytes().splitlines()
    index = orjson.loads((folder / "inputs.json").read_bytes())
    rows: dict[str, tuple[Array, Mapping[int, object]]] = {}
    with (folder / "inputs.bin").open("rb") as blob:
        for name, (offset, length, content_type) in index.items():
            blob.seek(offset)
            rows[name] = rows_from_json(decoded(blob.read(length), content_type), described)
    items = []
    for item in map(orjson.loads, lines):
        array, errors = rows[item["prediction_id"]]
        if item["index"] < len(array) and item["index"] not in errors:
            items.append({**item, "inputs": array[item["index"]]})
    return items, len(lines) - len(items)


def read_text_statements(folder: Path) -> list[Json]:
    """Return the items about texts, each with its `prompt`: the row as it was asked."""
    lines = (folder / "statements.jsonl").read_bytes().splitlines()
    index = orjson.loads((folder / "inputs.json").read_bytes())
    rows: dict[str, Any] = {}
    with (folder / "inputs.bin").open("rb") as blob:
        for name, (offset, length, content_type) in index.items():
            blob.seek(offset)
            rows[name] = decoded(blob.read(length), content_type)
    items = map(orjson.loads, lines)
    return [{**item, "prompt": rows[item["prediction_id"]][item["index"]]} for item in items]


def decoded(inputs: bytes, content_type: str) -> Any:
    """Return logged inputs as rows: an array without pickle, or the `inputs` of a JSON body."""
    if content_type == NPY:
        import numpy as np

        return np.load(io.BytesIO(inputs), allow_pickle=False)
    try:
        body = orjson.loads(inputs)
    except orjson.JSONDecodeError:
        body = from_json(inputs)  # NaN and Infinity were read when the request came
    return body["inputs"] if isinstance(body, dict) else body


def _texts(
    item: FeedbackRecord, prediction: PredictionRecord, predictions: Mapping[str, PredictionRecord]
) -> Json | None:
    """Return the texts an item is about, and whether each ended by itself; None where one of them is gone.

    A text that its writer cut off, and one that only the caller knows, teaches nothing about where texts end.
    """
    if item.kind == "rating" and "text" in (shown := prediction.outputs[item.index]):
        return {"shown": shown["text"], "shown_ended": shown.get("finish_reason") == "stop"}
    if item.kind != "preference":
        return {}
    if "chosen" in item.value:
        return {"chosen": item.value["chosen"], "rejected": item.value["rejected"]}
    other, place = predictions.get(item.value["over"]), item.value.get("index", item.index)
    if other is None or place >= len(other.outputs):
        return None
    found: Json = {}
    for name, output in (("chosen", prediction.outputs[item.index]), ("rejected", other.outputs[place])):
        found |= {name: output.get("text", ""), f"{name}_ended": output.get("finish_reason") == "stop"}
    return found


def _line(item: FeedbackRecord, prediction: PredictionRecord) -> Json:
    output = prediction.outputs[item.index] if item.index < len(prediction.outputs) else {}
    shown = output.get("label", output.get("labels"))
    return {
        "id": item.id,
        "prediction_id": item.prediction_id,
        "index": item.index,
        "kind": item.kind,
        "value": item.value,
        "weight": item.weight,
        "source": item.source,
        "created_at": item.created_at,
        "shown": shown,
    }
