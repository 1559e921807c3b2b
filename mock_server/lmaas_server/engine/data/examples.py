"""Rows with their targets, as the rest of the engine sees them; knows no file and no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:  # who only names rows does without it: see `services.npy`
    import numpy as np

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """What a file may unpack to, and how much of it is held in memory while it is read (text and tables).

    `max_rows` of None is any number of rows.
    """

    max_unpacked_bytes: int
    max_rows: int | None = None
    max_memory_bytes: int = 256 << 20
    max_clip_seconds: float = 60.0
    """Of one clip of sound."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examples:
    """Checked rows of one kind.

    `inputs` is (rows, *shape): float32 or uint8, of tables float64 (`data.columns`), of text UTF-8 in numpy's `S`, of
    sound an array of clips, int16 of their own lengths.
    `targets` is None, or for classes the int64 index of each row into `target["classes"]`, where a row has several
    classes float32 of (rows, classes) holding 0 and 1, or for values float32 of shape (rows,) or (rows, n). `input` and
    `target` describe one row.
    """

    inputs: Array
    targets: Array | None
    format: str
    input: Json
    target: Json

    def __len__(self) -> int:
        return len(self.inputs)

    def __repr__(self) -> str:
        kind, shape = self.input["kind"], tuple(self.input.get("shape", ()))
        return f"Examples({len(self)} rows, {kind} {shape}, target={self.target['kind']})"

    @property
    def classes(self) -> list[int | str]:
        """The labels, in the order of their indices; empty where targets are not classes."""
        return list(self.target.get("classes", ()))

    @property
    def multiple(self) -> bool:
        """Whether a row has any number of classes."""
        return bool(self.target.get("multiple"))

    def take(self, rows: Array) -> Examples:
        """Return the rows of the given indices, in that order."""
        targets = None if self.targets is None else self.targets[rows]
        return replace(self, inputs=self.inputs[rows], targets=targets)
