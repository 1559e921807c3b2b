"""Datasets: files of examples, checked whole when they arrive."""

from typing import Annotated, Any, Literal

from pydantic import Field

from lmaas.types._wire import Label, Name, WireObject, WireRequest

Format = Literal["npz", "csv", "jsonl", "parquet", "zip", "txt"]


class TensorInput(WireRequest):
    """Numbers of one fixed shape per row.

    This is what an npz holds where nothing else is said, also of bytes that could be pictures; say `image` for those.
    """

    kind: Literal["tensor"] = "tensor"
    normalize: Literal["auto", "feature", "global", "none"] = "auto"
    """How inputs are scaled before the network, fitted on the training rows: per feature, by one mean and
    deviation over everything, or not at all. `auto` is per feature for rows of rank 1 holding floats that
    leave [0, 1], else global."""


class ImageInput(WireRequest):
    """Pictures; all are brought to one size and to a number of channels.

    Of an npz, x is (rows, height, width) or (rows, height, width, 1 or 3): bytes, whole numbers within 0 and 255 or
    shares of white within 0 and 1. Such an npz is read as `tensor` unless this is said.
    """

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


class AudioInput(WireRequest):
    """Clips of sound; all are brought to one rate, one channel and 16 bits, and networks hear their log-mel bands."""

    kind: Literal["audio"] = "audio"
    sample_rate: Annotated[int, Field(ge=4000, le=48_000)] | None = None
    """Hz; omitted, that of the first clip, at most 16,000. Of an npz without `sample_rate`: what its clips have."""
    seconds: Annotated[float, Field(gt=0, le=3600)] | None = None
    """What networks hear of each clip: shorter ones are padded, longer ones cut at both ends. Omitted, as long as 98 %
    of the training clips are."""
    bands: Annotated[int, Field(ge=8, le=128)] | None = None
    """Bands of the mel scale; omitted, 40."""


class TextInput(WireRequest):
    """A sentence or a document per row, from a column of a csv, jsonl or parquet file."""

    kind: Literal["text"] = "text"
    column: str | None = None
    """Where the text is; omitted, a column named `text` or the like, else the one column of long strings."""
    max_bytes: Annotated[int, Field(ge=16, le=65_536)] = 4096
    """Of one text in UTF-8; what comes after is cut off."""
    encoding: str = "utf-8"
    """Of a csv: any of Python's codecs that writes text in bytes."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """Of a csv; omitted, told from its first line: comma, tab, semicolon or bar."""
    header: bool = True
    """Whether the first line of a csv names the columns; without it they are called `column_1`, `column_2`, ..."""


ColumnType = Literal["number", "category", "date", "ignore"]


class TableInput(WireRequest):
    """A row of named columns: numbers, categories and dates, any of which may be missing."""

    kind: Literal["table"] = "table"
    columns: dict[str, ColumnType] = {}
    """Types of columns that are not what they look like; the others are told from their values.

    A date is written 2026-01-31, 2026/01/31 or 31.01.2026, with or without a time; 01/31/2026, whose order is not
    everybody's, is a category.
    """
    encoding: str = "utf-8"
    """Of a csv: any of Python's codecs that writes text in bytes."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """Of a csv; omitted, told from its first line: comma, tab, semicolon or bar."""
    header: bool = True
    """Whether the first line of a csv names the columns; without it they are called `column_1`, `column_2`, ..."""


class MessagesInput(WireRequest):
    """Conversations that end with an answer, or prompts with their completions, for a language model to learn."""

    kind: Literal["messages"] = "messages"


InputSpec = Annotated[
    TensorInput | ImageInput | AudioInput | TextInput | TableInput | MessagesInput, Field(discriminator="kind")
]


class TargetSpec(WireRequest):
    """What the targets are; omitted, integers and strings are classes and floats are values.

    Of csv, jsonl and parquet files whole numbers of more than 100 kinds are values too, and lists are several classes.
    """

    kind: Literal["class", "value", "none"] | None = None
    column: str | Annotated[tuple[str, ...], Field(strict=False, min_length=1)] | None = None
    """Where the targets are, several columns for several values; omitted, a column named `label`, `target` or the
    like."""
    separator: Annotated[str, Field(min_length=1, max_length=8)] | None = None
    """Between the classes of a row that has several in one cell, such as `;`."""


class DatasetCreate(WireRequest):
    """The fields beside `file` in the multipart body of `POST /v1/datasets`."""

    name: Name | None = None
    format: Format | None = None
    """Omitted, told from the file's name and first bytes."""
    input: InputSpec | None = None
    target: TargetSpec | None = None


class DatasetColumn(WireObject):
    """One column of a table, as found in the file."""

    name: str
    type: ColumnType | str
    missing: int = 0
    """Rows without a value."""
    distinct: int | None = None
    """Of categories: how many different ones there are; counting stops at 10,000."""
    categories: list[str] | None = None
    """Of categories: the 50 most frequent."""


class DatasetInput(WireObject):
    """What one row of a dataset's inputs is, as found in the file."""

    kind: Literal["tensor", "image", "audio", "text", "table", "messages"] | str
    shape: list[int] | None = None
    """Of one row: (features,), (height, width, channels), ..."""
    dtype: str | None = None
    sample_rate: int | None = None
    """Of sound: Hz."""
    longest_seconds: float | None = None
    """Of sound: how long the longest clip plays."""
    column: str | None = None
    """Of text: where it stood in the file."""
    columns: list[DatasetColumn] | None = None
    """Of a table: what was found in each column, in the order of the file."""


class DatasetTarget(WireObject):
    """What the targets of a dataset are."""

    kind: Literal["class", "value", "text", "none"] | str
    classes: list[Label] | None = None
    shape: list[int] | None = None
    """Of one value target; () is a single number."""
    multiple: bool | None = None
    """Whether a row has any number of classes rather than one."""
    columns: list[str] | None = None
    """Where the targets stood in the file."""


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
