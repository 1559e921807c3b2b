"""Clips of sound as arrays: views of one run of samples, and as a file of tensors holds them. Knows no other file.

Rows are one array of clips, each int16 of its own length. The clips are views of one run of samples, so that a row
costs what it holds; taking and joining rows is what it is for any array.
"""

from __future__ import annotations

import math

import numpy as np

from lmaas_server.engine.data import wav
from lmaas_server.engine.data.examples import Array
from lmaas_server.errors import InvalidError

_FULL, _FULL_FLOAT = 32_768, 1.001
"""Full scale; floats may be over it by the rounding of whoever made them."""


def views(flat: Array, starts: Array) -> Array:
    """Return clips as views of one run of samples."""
    clips = np.empty(len(starts) - 1, dtype=object)
    for index, (first, last) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        clips[index] = flat[first:last]
    return clips


def stored(clips: Array) -> Array:
    """Return clips as a file of tensors holds them, int16: their number and lengths (two each), then all samples."""
    sizes = np.array([len(clips), *map(len, clips)], dtype="<u4").view("<i2")
    return np.concatenate([sizes, *clips]).astype(np.int16, copy=False)


def restored(flat: Array) -> Array:
    """Return what `stored` was given."""
    count = int(flat[:2].view("<u4")[0])
    lengths = flat[2 : 2 + 2 * count].view("<u4")
    return views(flat[2 + 2 * count :], np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))


def samples_of(given: Array, place: str, param: str) -> Array:
    """Return samples as int16: whole numbers are 16 bits, floats shares of full scale.

    Raises:
        InvalidError: `input_invalid`, `not_finite`, `samples_out_of_range`.
    """
    if given.dtype == np.int16 or not given.size:
        return given.astype(np.int16, copy=False)
    if given.dtype.kind not in "iuf":
        raise InvalidError(f"{place} is of {given.dtype}; samples are numbers", code="input_invalid", param=param)
    floats = given.dtype.kind == "f"
    low, high = float(given.min()), float(given.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InvalidError(f"{place} holds NaN or infinity", code="not_finite", param=param)
    full = _FULL_FLOAT if floats else _FULL
    if low < -full or high > full - (not floats):
        raise InvalidError(
            f"{place} holds samples from {low:g} to {high:g}; whole numbers must be within -32,768 and 32,767, floats "
            "within -1 and 1",
            code="samples_out_of_range",
            param=param,
        )
    return wav.from_floats(given, place, param) if floats else given.astype(np.int16)


def check_clip(clip: Array, rate: int, place: str, param: str, longest: float) -> None:
    """Refuse a clip that is empty, or longer than `longest` seconds.

    Raises:
        InvalidError, TooLargeError: naming the place.
    """
    wav.check_length(len(clip) / rate, place, param, max_seconds=longest)
    wav.check_not_empty(len(clip), place, param)
