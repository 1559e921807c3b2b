"""Clips of sound as a model is asked about them: rows of JSON in, a preview out. Knows no file and no torch."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import numpy as np

from lmaas_server.engine.data import wav
from lmaas_server.engine.data.clips import check_clip, samples_of
from lmaas_server.engine.data.examples import Array, Json
from lmaas_server.engine.data.resampling import resample
from lmaas_server.errors import InvalidError, ServiceError

KIND = "audio"


def rows(inputs: Array | Sequence[Any], description: Json) -> tuple[Array, dict[int, ServiceError]]:
    """Turn prediction inputs into clips: `{"base64": ...}` of a WAV at any rate, or samples at the model's own.

    A bad row is a moment of silence in the array and named in the errors.
    """
    if isinstance(inputs, np.ndarray) and inputs.dtype == object:
        return inputs, {}
    clips = np.empty(len(inputs), dtype=object)
    errors: dict[int, ServiceError] = {}
    for index, value in enumerate(inputs):
        try:
            clips[index] = _row(value, description, f"row {index}", f"inputs[{index}]")
        except ServiceError as exc:
            clips[index], errors[index] = np.zeros(1, dtype=np.int16), exc
    return clips, errors


def preview(row: Array, description: Json) -> Any:
    """Return one clip as JSON shows it: `{"base64": ...}` of a WAV."""
    return {"base64": base64.b64encode(wav.encode(row, int(description["sample_rate"]))).decode("ascii")}


def spec(description: Json) -> Json:
    """Return what to ask of the reader so that another file is read the same way."""
    return {key: description[key] for key in ("sample_rate", "seconds", "bands") if description.get(key)}


def _row(value: Any, description: Json, place: str, param: str) -> Array:
    rate, longest = int(description["sample_rate"]), float(description["max_seconds"])
    if isinstance(value, dict):
        samples, found = wav.decode(_unpacked(value, place, param), place, param, max_seconds=longest)
        return resample(samples, found, rate)
    try:
        given = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as exc:
        raise InvalidError(f"{place} holds no samples", code="input_invalid", param=param) from exc
    if given.ndim != 1:
        raise InvalidError(
            f'{place} has shape {given.shape}; a clip is {{"base64": "..."}} of a WAV, or samples of one channel at '
            f"{rate:,} Hz, of shape (samples,)",
            code="shape_mismatch",
            param=param,
        )
    clip = samples_of(given, place, param)
    check_clip(clip, rate, place, param, longest)
    return clip


def _unpacked(value: Json, place: str, param: str) -> bytes:
    if set(value) != {"base64"} or not isinstance(value["base64"], str):
        raise InvalidError(
            f'{place} must be {{"base64": "..."}} of a WAV, or samples', code="input_invalid", param=param
        )
    try:
        return base64.b64decode(value["base64"], validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidError(f"{place} is not base64: {exc}", code="input_invalid", param=param) from exc
