"""Whether feedback speaks well of a prediction: a label that says the same, a thumb up. Knows no storage."""

from __future__ import annotations

from typing import Any

from lmaas_server.records import Json, ModelRecord

__all__ = ["is_right", "verdict_of"]


def verdict_of(kind: str, value: Any, output: Json, model: ModelRecord) -> bool | None:
    """Return whether an item speaks well of what was shown; None where it says neither. Arguments as for `is_right`."""
    return bool(value > 0) if kind == "rating" else is_right(kind, value, output, model)


def is_right(kind: str, value: Any, output: Json, model: ModelRecord) -> bool | None:
    """Return whether a label is what the prediction had shown; None where the two cannot be compared.

    Args:
        kind: The kind of the feedback; only a `label` judges.
        value: The label, as it is stored.
        output: What the log has of the row.
        model: The version that predicted.
    """
    if kind != "label" or model.target.get("kind") != "class":
        return None
    if model.target.get("multiple"):
        return set(value) == set(output["labels"]) if "labels" in output else None
    if "index" in output:  # answered as an array
        return bool(model.target["classes"][output["index"]] == value)
    return bool(output["label"] == value) if "label" in output else None
