"""What differs between kinds of inputs once their file is read, as one table. Imports no torch.

rows            JSON or arrays of a prediction -> raw rows, and the errors of those that are bad
preview         one raw row as JSON shows it
spec            a description -> what to ask of the reader so that another file is read the same way
fit, from_json  the preprocessing that is stored with a model
shape           a row as a network takes it, as far as the description tells
stored, restored    raw rows as a file of tensors holds them
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from lmaas_server.engine.data import audio, clips, images, tables, tensors, texts
from lmaas_server.engine.data.audio_features import AudioPreprocessing
from lmaas_server.engine.data.audio_features import described_shape as audio_shape
from lmaas_server.engine.data.examples import Array, Json
from lmaas_server.engine.data.preprocessing import Preprocessing as Affine
from lmaas_server.engine.data.preprocessing import network_shape as array_shape
from lmaas_server.engine.data.table_features import TablePreprocessing, described_shape
from lmaas_server.errors import InvalidError, ServiceError

Shape = tuple[int, ...]


class Preprocessing(Protocol):
    """What is fitted on the training rows and stored with a model."""

    @property
    def kind(self) -> str:
        """The kind of inputs."""

    @property
    def network_shape(self) -> Shape:
        """The shape of one row as a network takes it."""

    def to_json(self) -> Json:
        """Return the fitted state as JSON."""


@dataclass(frozen=True, slots=True)
class TextPreprocessing:
    """Nothing is fitted for text: the number of a word is a hash (`words`)."""

    kind: str = texts.KIND

    @classmethod
    def fit(cls, inputs: Array, description: Json) -> Self:  # noqa: ARG003 - the signature of a kind
        """There is nothing to fit."""
        return cls()

    @classmethod
    def from_json(cls, stored: Json) -> Self:  # noqa: ARG003 - the signature of a kind
        """Read what `to_json` wrote."""
        return cls()

    @property
    def network_shape(self) -> Shape:
        """A text has as many words as it has."""
        return ()

    def to_json(self) -> Json:
        """Return the state as JSON."""
        return {"kind": self.kind}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of inputs; the module says what the fields are."""

    rows: Callable[[Array | Sequence[Any], Json], tuple[Array, dict[int, ServiceError]]]
    preview: Callable[[Array, Json], Any]
    spec: Callable[[Json], Json]
    fit: Callable[[Array, Json], Preprocessing]
    from_json: Callable[[Json], Preprocessing]
    shape: Callable[[Json], Shape]
    stored: Callable[[Array], Array] = np.ascontiguousarray
    restored: Callable[[Array], Array] = np.asarray


def _shape_of_array(description: Json) -> Shape:
    return array_shape(description["kind"], tuple(description["shape"]))


def _image_spec(description: Json) -> Json:
    height, width, channels = description["shape"]
    return {"size": (height, width), "channels": channels}


def _table_spec(description: Json) -> Json:
    types = {column["name"]: column["type"] for column in description["columns"]}
    return {"columns": types, "exact": True, **_csv_spec(description)}


def _csv_spec(description: Json) -> Json:
    return {
        key: description[key]
        for key in ("column", "max_bytes", "encoding", "delimiter", "header")
        if key in description
    }


KINDS: dict[str, Kind] = {
    "audio": Kind(
        audio.rows,
        audio.preview,
        audio.spec,
        AudioPreprocessing.fit,
        AudioPreprocessing.from_json,
        audio_shape,
        clips.stored,
        clips.restored,
    ),
    "image": Kind(
        images.rows, lambda row, _: images.preview(row), _image_spec, Affine.fit, Affine.from_json, _shape_of_array
    ),
    "table": Kind(
        tables.rows, tables.preview, _table_spec, TablePreprocessing.fit, TablePreprocessing.from_json, described_shape
    ),
    "tensor": Kind(
        tensors.rows,
        lambda row, _: tensors.preview(row),
        lambda description: {"normalize": description.get("normalize", "auto")},
        Affine.fit,
        Affine.from_json,
        _shape_of_array,
    ),
    "text": Kind(
        texts.rows,
        lambda row, _: texts.preview(row),
        _csv_spec,
        TextPreprocessing.fit,
        TextPreprocessing.from_json,
        lambda _: (),
        texts.stored,
        texts.restored,
    ),
}


def fit_preprocessing(inputs: Array, description: Json) -> Preprocessing:
    """Fit the preprocessing of a kind on the training rows."""
    return KINDS[description["kind"]].fit(inputs, description)


def preprocessing_from_json(stored: Json) -> Preprocessing:
    """Read a stored preprocessing."""
    return KINDS[stored["kind"]].from_json(stored)


def network_shape(description: Json) -> Shape:
    """Return the shape of a row as a network takes it, as far as the description of the data tells."""
    return KINDS[description["kind"]].shape(description)


def stored_rows(inputs: Array, description: Json) -> Array:
    """Return raw rows as a file of tensors holds them: numbers."""
    return KINDS[description["kind"]].stored(inputs)


def restored_rows(stored: Array, description: Json) -> Array:
    """Return what `stored_rows` was given."""
    return KINDS[description["kind"]].restored(stored)


def input_spec(description: Json) -> Json:
    """Return what to ask of the reader so that a file is read as the one described was."""
    kind = KINDS.get(description["kind"])  # conversations are read in one way only
    return {"kind": description["kind"], **(kind.spec(description) if kind else {})}


def target_spec(described: Json) -> Json:
    """Return what to ask of the reader so that targets are read as those described were."""
    spec: Json = {"kind": described["kind"]}
    if described.get("columns"):
        spec["column"] = tuple(described["columns"]) if len(described["columns"]) > 1 else described["columns"][0]
    if described.get("separator"):
        spec["separator"] = described["separator"]
    return spec


def check_same_inputs(given: Json, wanted: Json, *, what: str, param: str, unread: bool = False) -> None:
    """Refuse inputs that are not of the kind, shape and columns that are wanted.

    Clips that are still `unread` may be of another rate: they are resampled as they are read.

    Raises:
        InvalidError: `input_mismatch`.
    """
    for key in ("kind", "shape") if unread else ("kind", "shape", "sample_rate"):
        if given.get(key) != wanted.get(key):
            raise InvalidError(
                f"the dataset's inputs have {key} {given.get(key)}, those of {what} {wanted.get(key)}; "
                "they must be the same",
                code="input_mismatch",
                param=param,
            )
    columns, others = ([(c["name"], c["type"]) for c in side.get("columns") or ()] for side in (given, wanted))
    if columns != others:
        differing = [name for name, _ in set(columns) ^ set(others)] or [name for name, _ in columns]
        raise InvalidError(
            f"the dataset's columns are not those of {what}: {', '.join(sorted(set(differing))[:20])} "
            "differ in name, type or order",
            code="input_mismatch",
            param=param,
        )
