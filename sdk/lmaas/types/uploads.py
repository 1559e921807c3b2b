"""Uploads: a large file on its way in parts, in any order and over any number of connections."""

from typing import Annotated, Literal

from pydantic import Field

from lmaas.types._wire import WireObject, WireRequest
from lmaas.types.datasets import DatasetCreate

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""64 hex digits in lower case."""


class UploadCreate(DatasetCreate):
    """What is going to be uploaded, and the fields of the dataset it becomes."""

    filename: Annotated[str, Field(min_length=1, max_length=255)]
    bytes: Annotated[int, Field(ge=1)]
    """Of the whole file."""


class UploadPart(WireObject):
    """A part that has arrived, with the checksum it was sent with."""

    number: int
    """From 1."""
    bytes: int
    sha256: str | None = None
    """Of the part alone; it was right."""
    sha256_so_far: str | None = None
    """Of the file up to the part's end; compared once all parts before it are here; until then it may prove wrong."""


class UploadComplete(WireRequest):
    """Make the parts a dataset."""

    sha256: Sha256 | None = None
    """Of the whole file, to be compared; the parts have been already."""


class UploadSession(WireObject):
    """A file on its way: which parts are here. The others are still to be sent."""

    id: str
    object: Literal["upload"] | str = "upload"
    status: Literal["pending", "completed"] | str
    filename: str
    bytes: int
    part_bytes: int
    """Of every part but the last, which has the rest."""
    part_count: int
    parts: list[UploadPart]
    """Those that are here, by number; none once it is completed."""
    dataset: str | None = None
    """What it became."""
    created_at: float
    expires_at: float
    """When it is removed, parts and all, if it is not completed by then."""
