"""Datasets: files of examples, checked whole when they arrive."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lmaas.types._wire import Label, Name, WireObject, WireRequest

Format = Literal["npz", "csv", "jsonl", "parquet", "zip", "txt"]


class TensorInput(WireRequest):
    """Numbers of one fixed shape per row."""

    kind: Literal["tensor"] = "tensor"
    normalize: Literal["auto", "feature", "global", "none"] = "auto"
    """How inputs are scaled before the network, fitted on the training rows: per feature, by one mean and
    deviation over everything, or not at all. `auto` is per feature for rows of rank 1 holding floats that
    leave [0, 1], else global."""


class ImageInput(WireRequest):
    """Pictures; all are brought to one size and to a number of channels."""

    kind: Literal["image"] = "image"
    size: (
        Annotated[
            tuple[Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]], Field(strict=False)
        ]
        | None
    ) = None
    """(height, width) in pixels; omitted, the size of the first picture."""
    channels: Literal[1, 3] | None = None
    """1 for grey, 3 for colour; omitted, as the first picture has it."""


InputSpec = Annotated[TensorInput | ImageInput, Field(discriminator="kind")]


class TargetSpec(WireRequest):
    """What the targets are; omitted, integers and strings are classes and floats are values."""

    kind: Literal["class", "value", "none"]


class DatasetCreate(WireRequest):
    """The fields beside `file` in the multipart body of `POST /v1/datasets`."""

    name: Name | None = None
    format: Format | None = None
    """Omitted, told from the file's name and first bytes."""
    input: InputSpec | None = None
    target: TargetSpec | None = None


class DatasetInput(WireObject):
    """What one row of a dataset's inputs is, as found in the file."""

    kind: Literal["tensor", "image", "audio", "text", "table", "messages"] | str
    shape: list[int] | None = None
    """Of one row: (features,), (height, width, channels), ..."""
    dtype: str | None = None


class DatasetTarget(WireObject):
    """What the targets of a dataset are."""

    kind: Literal["class", "value", "text", "none"] | str
    classes: list[Label] | None = None
    shape: list[int] | None = None
    """Of one value target; () is a single number."""


class Dataset(WireObject):
    """A file of examples the server has checked and keeps."""

    id: str
    object: Literal["dataset"] | str = "dataset"
    name: str
    format: Format | str
    bytes: int
    sha256: str
    rows: int
    input: DatasetInput
    target: DatasetTarget
    created_at: float


class DatasetRow(WireObject):
    """One example, as `GET /v1/datasets/{id}/rows` shows it."""

    index: int
    input: Any
    target: Any = None
