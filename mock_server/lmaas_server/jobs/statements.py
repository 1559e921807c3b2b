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

import numpy as np
import orjson
from pydantic_core import from_json

from lmaas_server.engine.data.reader import rows_from_json
from lmaas_server.records import FeedbackRecord, PredictionRecord

Json = dict[str, Any]
Array = np.ndarray[Any, np.dtype[Any]]
NPY = "application/x-npy"


def pack_statements(
    folder: Path, items: Iterable[FeedbackRecord], predictions: Mapping[str, PredictionRecord]
) -> list[str]:
    """Write the items whose predictions kept their inputs; return their ids, in order."""
    folder.mkdir(parents=True)
    index: dict[str, tuple[int, int, str]] = {}
    packed: list[str] = []
    with (folder / "statements.jsonl").open("wb") as lines, (folder / "inputs.bin").open("wb") as blob:
        for item in items:
            prediction = predictions.get(item.prediction_id)
            if prediction is None or prediction.inputs is None:
                continue
            if prediction.id not in index:
                index[prediction.id] = (blob.tell(), len(prediction.inputs), prediction.inputs_type or "")
                blob.write(prediction.inputs)
            lines.write(orjson.dumps(_line(item, prediction), option=orjson.OPT_APPEND_NEWLINE))
            packed.append(item.id)
    (folder / "inputs.json").write_bytes(orjson.dumps(index))
    return packed


def read_statements(folder: Path, described: Json) -> tuple[list[Json], int]:
    """Return the items with their row of inputs, for a model whose inputs are so `described`.

    Returns:
        The items, and how many were left out because their row does not fit the model.
    """
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


def decoded(inputs: bytes, content_type: str) -> Any:
    """Return logged inputs as rows: an array without pickle, or the `inputs` of a JSON body."""
    if content_type == NPY:
        return np.load(io.BytesIO(inputs), allow_pickle=False)
    try:
        body = orjson.loads(inputs)
    except orjson.JSONDecodeError:
        body = from_json(inputs)  # NaN and Infinity were read when the request came
    return body["inputs"] if isinstance(body, dict) else body


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
