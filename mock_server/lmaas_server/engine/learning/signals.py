"""From items of feedback to rows that can be learned from, and rows kept back to judge by. Knows no model's weights.

One fifth of the feedback, chosen by a hash of its id, is the fresh holdout: it is never trained on, in this update or
in any later one, because the hash stays. Where sources disagree about a row and one of them is held out, the row is
not trained on either.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lmaas_server.engine.data.examples import Array, Json
from lmaas_server.engine.learning.sources import JUDGED_FLOOR, parties_of, take_shares

LEARNABLE = {"label", "rating"}
HELD_OUT_ONE_IN = 5
_RATINGS = {1: True, -1: False, 0: False}
"""Up or down; true is 1 and false is 0."""
_LARGEST = 3e38

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Statements about rows: `targets` are indices into `Signals.classes`, or float32 values of (rows, outputs).

    Where `against` is true the row says what its class is not.
    """

    ids: tuple[str, ...]
    inputs: Array
    targets: Array
    against: Array
    weights: Array

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Rows({len(self)}, {int(self.against.sum())} against)"

    def take(self, rows: Array) -> Rows:
        """Return the rows of the given indices."""
        return Rows(
            ids=tuple(self.ids[row] for row in rows),
            inputs=self.inputs[rows],
            targets=self.targets[rows],
            against=self.against[rows],
            weights=self.weights[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What feedback says, sorted. `classes` are the model's, then those that feedback brought."""

    fresh: Rows
    """To learn from, oldest first."""
    held: Rows
    """To judge by."""
    classes: tuple[int | str, ...]
    contradictions: int
    """Statements that a later one of the same source about the same row has replaced."""
    unusable: int
    """Items that say nothing this model can learn from."""
    capped: dict[str, int] = field(default_factory=dict)
    """By source, how many items are left out because it would say more than its share."""
    lightened: dict[str, float] = field(default_factory=dict)
    """By source, what its weights are multiplied by for the same reason."""
    capped_ids: frozenset[str] = frozenset()
    replaced_ids: frozenset[str] = frozenset()
    """The items that `contradictions` counts."""


def held_out(feedback_id: str) -> bool:
    """Return whether the item of this id belongs to the fresh holdout."""
    return int.from_bytes(hashlib.sha256(feedback_id.encode()).digest()[:8]) % HELD_OUT_ONE_IN == 0


def read_signals(
    feedback: Iterable[Item],
    target: Json,
    shape: tuple[int, ...],
    retracted: Collection[str],
    *,
    max_source_share: float = 1.0,
) -> Signals:
    """Sort feedback for a model that gives `target` of rows of `shape`; `max_source_share` limits what one source says.

    What a source says beyond its share is neither trained on nor judged by.
    """
    gone = frozenset(retracted)
    items = [item for item in feedback if item["id"] not in gone]
    said = [item for item in items if _read(item, target) is not None]
    standing = latest(said, row_of)
    parties = parties_of(standing)
    judged = [item for item in standing if held_out(item["id"])]
    judging = take_shares(judged, max_source_share, parties=parties, floor=JUDGED_FLOOR)
    kept_back = {row_of(item) for item in judging.items}
    told = [item for item in standing if not held_out(item["id"]) and row_of(item) not in kept_back]
    learning = take_shares(told, max_source_share, parties=parties)
    held, fresh = list(judging.items), list(learning.items)
    classes = list(target.get("classes", ()))
    for item in fresh:
        if target["kind"] == "class" and item["kind"] == "label":
            named = item["value"] if target.get("multiple") else [item["value"]]
            classes += [label for label in dict.fromkeys(named) if label not in classes]
    return Signals(
        fresh=_rows(fresh, target, classes, shape),
        held=_rows(held, target, classes, shape),
        classes=tuple(classes),
        contradictions=len(said) - len(standing),
        unusable=len(items) - len(said),
        capped=dict(Counter(judging.capped) + Counter(learning.capped)),
        lightened=learning.lightened,
        capped_ids=judging.left_out | learning.left_out,
        replaced_ids=frozenset(item["id"] for item in said) - {item["id"] for item in standing},
    )


def latest(items: list[Item], matter: Callable[[Item], tuple[object, ...]]) -> list[Item]:
    """Return what stands, oldest first: of each source the last item about a `matter`."""
    standing: dict[tuple[object, ...], Item] = {}
    for item in sorted(items, key=lambda i: (i.get("created_at", 0), i["id"])):
        key = (matter(item), item.get("source"))
        standing.pop(key, None)  # the later statement also takes the later place
        standing[key] = item
    return list(standing.values())


def row_of(item: Item) -> tuple[object, ...]:
    """Return which row of which prediction an item is about; one that names none stands for itself."""
    prediction = item.get("prediction_id")
    return (item["id"],) if prediction is None else (prediction, item.get("index", 0))


def _read(item: Item, target: Json) -> tuple[Any, bool] | None:
    """Return (label or values, whether it speaks against), or None where the item teaches this model nothing."""
    if item["kind"] not in LEARNABLE:
        return None
    if target["kind"] == "value":
        return _read_value(item, target)
    if target.get("multiple"):
        return _read_several(item, target)
    if item["kind"] == "label":
        return (item["value"], False) if _is_label(item["value"], target["classes"]) else None
    shown, value = item.get("shown"), item["value"]
    if shown not in target["classes"] or value not in _RATINGS:
        return None
    return shown, not _RATINGS[value]


def _read_several(item: Item, target: Json) -> tuple[Any, bool] | None:
    """Read a list of classes; a thumb up means those that were shown, a thumb down does not say which are wrong."""
    labels = item["value"] if item["kind"] == "label" else item.get("shown")
    if item["kind"] == "rating" and _RATINGS.get(item["value"]) is not True:
        return None
    if not isinstance(labels, list | tuple) or not all(_is_label(label, target["classes"]) for label in labels):
        return None
    return list(labels), False


def _is_label(value: object, classes: list[int | str]) -> bool:
    """Return whether the value is of a type that the model's classes have: "3" is no new class beside 3."""
    return not isinstance(value, bool) and type(value) in {type(label) for label in classes}


def _read_value(item: Item, target: Json) -> tuple[Any, bool] | None:
    if item["kind"] != "label":
        return None
    values = item["value"] if target["shape"] else [item["value"]]
    if not isinstance(values, list | tuple) or len(values) != math.prod(target["shape"]):
        return None
    if any(isinstance(v, bool) or not isinstance(v, int | float) or not abs(v) < _LARGEST for v in values):
        return None
    return values, False


def _rows(items: list[Item], target: Json, classes: list[int | str], shape: tuple[int, ...]) -> Rows:
    read = [found for item in items if (found := _read(item, target)) is not None]
    index_of = {label: index for index, label in enumerate(classes)}
    targets: Array
    if target.get("multiple"):
        targets = np.zeros((len(read), len(classes)), dtype=np.float32)
        for row, (labels, _) in enumerate(read):
            targets[row, [index_of[label] for label in labels if label in index_of]] = 1
    elif target["kind"] == "class":
        # A class that only the holdout names is one the candidate cannot know: -1 is never right.
        targets = np.array([index_of.get(label, -1) for label, _ in read], dtype=np.int64)
    else:
        width = math.prod(target["shape"])
        targets = np.array([values for values, _ in read], dtype=np.float32).reshape(len(read), width)
    return Rows(
        ids=tuple(item["id"] for item in items),
        inputs=_stacked([np.asarray(item["inputs"]) for item in items], shape),
        targets=targets,
        against=np.array([against for _, against in read], dtype=bool),
        weights=np.array([item.get("weight") or 1.0 for item in items], dtype=np.float32),
    )


def _stacked(rows: list[Array], shape: tuple[int, ...]) -> Array:
    if not rows:
        return np.empty((0, *shape))
    if shape or not rows[0].ndim:
        return np.stack([row.reshape(shape) for row in rows])
    clips = np.empty(len(rows), dtype=object)  # of sound: each has its own length
    for index, row in enumerate(rows):
        clips[index] = row
    return clips
