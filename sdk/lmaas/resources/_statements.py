"""What callers say about predictions becomes items of feedback, checked row by row. Knows no endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias, TypedDict, cast

from lmaas import types
from lmaas._arrays import is_rows, plain
from lmaas._encode import checked
from lmaas.errors import InvalidRequestError
from lmaas.resources._ids import PredictionRef, id_of

Rows: TypeAlias = Any
"""One value, or a list or array of one value per row, None or NaN where there is nothing to say."""

Preferred: TypeAlias = "PredictionRef | Mapping[str, str] | Sequence[Mapping[str, str] | None] | None"
"""A better prediction, or a better and a worse text: of one row, or one pair per row."""

KINDS = {
    "labels": "label",
    "ratings": "rating",
    "preferred": "preference",
    "demonstrations": "demonstration",
    "comments": "comment",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What goes with each item of one call."""

    prediction: PredictionRef
    indices: Sequence[int] | None
    weight: float | None
    source: str | None
    metadata: dict[str, str] | None
    key: str
    """The call's idempotency key: the ids of the items come from it, so that sending twice stores once."""

    def item(
        self, number: int, *, index: int, kind: str, value: Any, prediction_id: str | None = None
    ) -> types.FeedbackItem:
        """Return the item of that number in the call."""
        digest = sha256(f"{self.key}:{number}".encode()).hexdigest()[:24]
        return checked(
            types.FeedbackItem,
            id=f"fb-{digest}",
            prediction_id=prediction_id or id_of(self.prediction),
            index=index,
            kind=kind,
            value=value,
            weight=self.weight,
            source=self.source,
            metadata=self.metadata,
        )


class Said(TypedDict, total=False):
    """The one thing that is said of a prediction, and what goes with it: the keywords of `client.feedback`.

    Attributes:
        labels: The right classes or values: one, or a list or array of one per row. None or NaN: no comment.
        ratings: 1 or True where the answer was good, -1 or False where it was not; as `labels`.
        preferred: Another prediction for the same inputs that is better than this one; or, of what was asked, two
            texts a row, `{"chosen": ..., "rejected": ...}`, as `labels`.
        demonstrations: The right texts; as `labels`.
        metric: Numbers observed later, by name.
        comments: Free text; as `labels`.
        indices: The rows spoken of, where not all are.
        weight: How much each item counts in learning; omitted, 1.
        source: Who says so.
        metadata: Up to 32 free words stored with each item.
    """

    labels: Rows
    ratings: Rows
    preferred: Preferred
    demonstrations: Rows
    metric: Mapping[str, float] | None
    comments: Rows
    indices: Sequence[int] | None
    weight: float | None
    source: str | None
    metadata: dict[str, str] | None


def items_said(prediction: PredictionRef, said: Said, *, key: str) -> list[types.FeedbackItem]:
    """Return the items for the keywords of `client.feedback`; their ids come from `key`.

    Raises:
        InvalidRequestError: As `items_of` does, or for a keyword that there is none of.
    """
    unknown = said.keys() - Said.__annotations__.keys()
    if unknown:
        raise InvalidRequestError(f"feedback has no argument {min(unknown)!r}", param=min(unknown))
    statement = Statement(
        prediction=prediction,
        indices=said.get("indices"),
        weight=said.get("weight"),
        source=said.get("source"),
        metadata=said.get("metadata"),
        key=key,
    )
    return items_of(statement, {name: said.get(name) for name in (*KINDS, "metric")})


def items_of(statement: Statement, given: Mapping[str, Rows]) -> list[types.FeedbackItem]:
    """Return the items for the one keyword that was given.

    Raises:
        InvalidRequestError: None or several were given, or there are not as many values as rows; nothing was sent.
    """
    said = {name: value for name, value in given.items() if value is not None}
    if len(said) != 1:
        found = " and ".join(f"{name}=" for name in said) or "none"
        names = ", ".join(f"{name}=" for name in given)
        raise InvalidRequestError(f"feedback takes exactly one of {names}; found {found}", param="feedback")
    ((name, value),) = said.items()
    if name == "metric":
        return _metrics(statement, value)
    if name == "preferred" and isinstance(value, str | types.Prediction):
        return _preferences(statement, value)
    alone = name == "preferred" and isinstance(value, Mapping)
    indices, values = _by_row(statement, name, [cast("Any", value)] if alone else value)
    items = [
        statement.item(number, index=index, kind=KINDS[name], value=row)
        for number, (index, row) in enumerate(zip(indices, values, strict=True))
        if row is not None
    ]
    if not items:
        raise InvalidRequestError(f"{name} says nothing about any row: all are None", param=name)
    return items


def _by_row(statement: Statement, name: str, value: Rows) -> tuple[Sequence[int], Sequence[Any]]:
    """Return the rows spoken of and what is said of each."""
    rows = len(statement.prediction) if isinstance(statement.prediction, types.Prediction) else None
    values = _values(value)
    values = None if values is None else _without_gaps(name, values)
    indices = statement.indices
    if indices is not None:
        indices = [int(plain(index)) for index in indices]
    if values is None:
        indices = [0] if indices is None else indices
        if rows not in {None, 1} and statement.indices is None:
            raise InvalidRequestError(
                f"{name} is one value and the prediction has {rows} rows: give one for each, or indices=", param=name
            )
        values = [plain(value)] * len(indices)
    wanted = rows if indices is None else len(indices)
    if wanted is not None and len(values) != wanted:
        what = "indices" if indices is not None else "rows in the prediction"
        raise InvalidRequestError(
            f"{name} has {len(values)} values for {wanted} {what}; use None where there is nothing to say", param=name
        )
    indices = range(len(values)) if indices is None else indices
    beyond = next((index for index in indices if index < 0 or (rows is not None and index >= rows)), None)
    if beyond is not None:
        raise InvalidRequestError(f"there is no row {beyond}: the prediction has {rows} rows", param="indices")
    return indices, values


def _values(value: Rows) -> Sequence[Any] | None:
    """Return one Python value per row, or None for a single value."""
    if isinstance(value, str | bytes) or plain(value) is not value:
        return None
    if is_rows(value):
        return [_plain_row(row) for row in value]
    for name in ("detach", "to_numpy"):
        convert = getattr(value, name, None)
        value = convert() if callable(convert) else value
    if not hasattr(value, "tolist") and hasattr(value, "__array__"):
        value = value.__array__()
    return cast("list[Any]", value.tolist()) if hasattr(value, "tolist") else None


def _without_gaps(name: str, values: Sequence[Any]) -> list[Any]:
    """Return the values with None for what frames and arrays have where there is none: NaN, NaT, `pandas.NA`.

    Whole numbers that NaN made floats of are whole numbers again: no model has a class 3.0 beside 1 and 2.
    """
    found = [None if _is_gap(value) else value for value in values]
    for row, value in enumerate(found):
        if any(_is_gap(part) for part in _parts(value)):
            raise InvalidRequestError(
                f"{name}[{row}] holds NaN beside numbers; a row is said whole, or None", param=f"{name}[{row}]"
            )
    made_floats = any(isinstance(value, float) for value in values if _is_gap(value))
    if made_floats and all(value is None or (isinstance(value, float) and value.is_integer()) for value in found):
        return [None if value is None else int(value) for value in found]
    return found


def _parts(value: Any) -> Sequence[Any]:
    return value if is_rows(value) else ()


def _is_gap(value: Any) -> bool:
    """Return whether a value stands for none: what is unlike itself, and a list of nothing but such."""
    if parts := _parts(value):
        return all(_is_gap(part) for part in parts)
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, float) and value != value  # noqa: PLR0124 - that is what NaN is


def _plain_row(row: Any) -> Any:
    row = plain(row)
    return row.tolist() if hasattr(row, "tolist") else row


def _preferences(statement: Statement, better: PredictionRef) -> list[types.FeedbackItem]:
    """Return the items on the better prediction that name the one it is better than, row by row."""
    value = {"over": id_of(statement.prediction)}
    indices = [0] if statement.indices is None else [int(plain(index)) for index in statement.indices]
    return [
        statement.item(number, index=index, kind="preference", value=value, prediction_id=id_of(better))
        for number, index in enumerate(indices)
    ]


def _metrics(statement: Statement, metric: Mapping[str, float]) -> list[types.FeedbackItem]:
    if not isinstance(metric, Mapping) or not metric:  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
        raise InvalidRequestError(f"metric is a mapping of names to numbers, not {metric!r}", param="metric")
    index = 0 if not statement.indices else int(plain(statement.indices[0]))
    return [
        statement.item(number, index=index, kind="metric", value={"name": name, "value": float(plain(value))})
        for number, (name, value) in enumerate(metric.items())
    ]
