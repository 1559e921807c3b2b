"""Clips of sound at one rate: read from zips of WAV folders and from npz, and from JSON. Knows no torch.

Rows are one array of clips, each int16 of its own length. The clips are views of one run of samples, so that a row
costs what it holds; taking and joining rows is what it is for any array. A file of tensors holds the same (`stored`).
"""

from __future__ import annotations

import base64
import binascii
import math
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from lmaas_server.engine.data import wav
from lmaas_server.engine.data.archive import Archive
from lmaas_server.engine.data.audio_features import described_shape
from lmaas_server.engine.data.examples import Array, Examples, Json, ReadLimits
from lmaas_server.engine.data.folders import classes_of_folders, wanted_members
from lmaas_server.engine.data.npy import read_npz as read_arrays
from lmaas_server.engine.data.resampling import resample, resampled_length
from lmaas_server.engine.data.spill import room_for
from lmaas_server.engine.data.targets import read_targets
from lmaas_server.errors import InvalidError, ServiceError

KIND = "audio"
MOST_RATE = 16_000
"""Speech needs no more; a higher rate is for those who name it."""
_LABELS = ("y", "label")
_TYPICAL = 0.98
_MATRIX = 2
_PART = 1 << 17
_FULL, _FULL_FLOAT = 32_768, 1.001
"""Full scale; floats may be over it by the rounding of whoever made them."""


def read_zip(archive: Archive, spec: Json, target: str | None, limits: ReadLimits) -> Examples:
    """Read a zip with one folder per class holding WAV files; a folder around all of them is ignored.

    The headers are read first: what is too long, or no WAV, is refused before it is unpacked, and the room that all
    clips need is known before the first of them is decoded.

    Raises:
        InvalidError, TooLargeError: what `wav.decode` raises, naming the file.
    """
    members = wanted_members(archive, target, what="clips", limits=limits)
    headers = [_header(archive, info, limits) for info in members]
    rate = int(spec.get("sample_rate") or min(headers[0].rate, MOST_RATE))
    lengths = [
        resampled_length(header.samples(info.file_size), header.rate, rate)
        for header, info in zip(headers, members, strict=True)
    ]
    archive.spend(2 * sum(lengths), f"{len(lengths):,} clips at {rate:,} Hz")
    flat = room_for((sum(lengths),), np.int16, limits, near=archive.path)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    for index, info in enumerate(members):
        place = f"{info.filename} in {archive.filename}"
        samples, found = wav.decode(archive.read(info), place, "file", max_seconds=limits.max_clip_seconds)
        flat[starts[index] : starts[index + 1]] = resample(samples, found, rate)
    targets, described = classes_of_folders(members, archive.filename, target)
    return _examples(_views(flat, starts), targets, described, form="zip", told=_told(rate, spec, limits))


def read_npz(archive: Archive, spec: Json, target: str | None, limits: ReadLimits) -> Examples:
    """Read an npz of clips.

    They are in `audio` (the samples of all clips, one after the other) with `offset` (clips + 1), or in `x` (clips,
    samples), int16 or floats within -1 and 1; `y` or `label` are the targets. `sample_rate` is a number. Other arrays
    are left alone.

    Raises:
        InvalidError: an array is missing or wrong; `param` names it.
    """
    names = ("audio", "offset", "sample_rate", "x", *_LABELS)
    found = read_arrays(archive, names, others=True)
    given = _rate(found.get("sample_rate"), spec, archive.filename)
    rate = int(spec.get("sample_rate") or min(given, MOST_RATE))
    clips = _npz_clips(found, archive, limits)
    if not len(clips):
        raise InvalidError(f"{archive.filename} has no clips", code="dataset_empty", param="file")
    for row, clip in enumerate(clips):
        _check_clip(clip, given, f"clip {row} in {archive.filename}", f"audio[{row}]", limits.max_clip_seconds)
    if given != rate:
        clips = _resampled(clips, given, rate, archive, limits)
    labels = next((found[name] for name in _LABELS if name in found), None)
    if labels is not None and (labels.ndim == 0 or len(labels) != len(clips)):
        raise InvalidError(
            f"there are {len(clips):,} clips and {labels.size:,} labels; each clip needs one",
            code="rows_mismatch",
            param="y",
        )
    targets, described = read_targets(labels, target)
    return _examples(clips, targets, described, form="npz", told=_told(rate, spec, limits))


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


def stored(clips: Array) -> Array:
    """Return clips as a file of tensors holds them, int16: their number and lengths (two each), then all samples."""
    sizes = np.array([len(clips), *map(len, clips)], dtype="<u4").view("<i2")
    return np.concatenate([sizes, *clips]).astype(np.int16, copy=False)


def restored(flat: Array) -> Array:
    """Return what `stored` was given."""
    count = int(flat[:2].view("<u4")[0])
    lengths = flat[2 : 2 + 2 * count].view("<u4")
    return _views(flat[2 + 2 * count :], np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))


def spec(description: Json) -> Json:
    """Return what to ask of the reader so that another file is read the same way."""
    return {key: description[key] for key in ("sample_rate", "seconds", "bands") if description.get(key)}


def _header(archive: Archive, info: zipfile.ZipInfo, limits: ReadLimits) -> wav.Header:
    place = f"{info.filename} in {archive.filename}"
    with archive.open(info) as member:
        header = wav.read_header(member.read(wav.HEAD_BYTES), place, "file")
    wav.check_length(header.seconds(info.file_size), place, "file", max_seconds=limits.max_clip_seconds)
    wav.check_not_empty(header.samples(info.file_size), place, "file")
    return header


def _told(rate: int, spec: Json, limits: ReadLimits) -> Json:
    """Return what is known of the clips before they are read."""
    wishes = {key: spec[key] for key in ("seconds", "bands") if spec.get(key)}
    return {"sample_rate": rate, "max_seconds": limits.max_clip_seconds, **wishes}


def _examples(clips: Array, targets: Array | None, described: Json, *, form: str, told: Json) -> Examples:
    rate, lengths = told["sample_rate"], np.array([len(clip) for clip in clips])
    description: Json = {
        "kind": KIND,
        "shape": [],
        "dtype": "int16",
        **told,
        "longest_seconds": float(lengths.max()) / rate,
        "typical_seconds": float(np.quantile(lengths, _TYPICAL)) / rate,
    }
    description["row_bytes"] = int(2 * lengths.mean()) + 4 * math.prod(described_shape(description))
    return Examples(inputs=clips, targets=targets, format=form, input=description, target=described)


def _views(flat: Array, starts: Array) -> Array:
    """Return clips as views of one run of samples."""
    clips = np.empty(len(starts) - 1, dtype=object)
    for index, (first, last) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        clips[index] = flat[first:last]
    return clips


def _rate(array: Array | None, spec: Json, filename: str) -> int:
    if array is None and spec.get("sample_rate"):
        return int(spec["sample_rate"])
    if array is None or array.size != 1 or array.dtype.kind not in "iu":
        raise InvalidError(
            f"{filename} does not say its sample rate; add an array sample_rate, or say it: "
            '{"kind": "audio", "sample_rate": ...}',
            code="array_missing",
            param="sample_rate",
        )
    rate = int(array.reshape(-1)[0])
    if not wav.RATES[0] <= rate <= wav.RATES[1]:
        raise InvalidError(
            f"sample_rate is {rate}; it must be within {wav.RATES[0]:,} and {wav.RATES[1]:,} Hz",
            code="out_of_range",
            param="sample_rate",
        )
    return rate


def _resampled(clips: Array, given: int, rate: int, archive: Archive, limits: ReadLimits) -> Array:
    starts = np.cumsum([0, *(resampled_length(len(clip), given, rate) for clip in clips)])
    flat = room_for((int(starts[-1]),), np.int16, limits, near=archive.path)
    for clip, first, last in zip(clips, starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        flat[first:last] = resample(clip, given, rate)
    return _views(flat, starts)


def _npz_clips(arrays: dict[str, Array], archive: Archive, limits: ReadLimits) -> Array:
    if "audio" in arrays:
        flat = arrays["audio"]
        if flat.ndim != 1 or "offset" not in arrays:
            raise InvalidError(
                "audio holds the samples of all clips, one after the other, and offset where each begins and the last "
                "ends",
                code="array_missing" if flat.ndim == 1 else "shape_mismatch",
                param="offset" if flat.ndim == 1 else "audio",
            )
        return _views(_all_samples(flat, "audio", archive, limits), _offsets(arrays["offset"], len(flat)))
    x = arrays.get("x")
    if x is None or x.ndim != _MATRIX:
        found = "no clips" if x is None else f"x of shape {x.shape}"
        raise InvalidError(
            f"{archive.filename} has {found}; save them as x of shape (clips, samples), or as audio and offset",
            code="array_missing" if x is None else "shape_mismatch",
            param="x",
        )
    return _views(_all_samples(x.reshape(-1), "x", archive, limits), np.arange(len(x) + 1) * x.shape[1])


def _all_samples(flat: Array, name: str, archive: Archive, limits: ReadLimits) -> Array:
    """Return the samples of a file as int16, those of another type part by part."""
    if flat.dtype == np.int16:
        return flat
    found = room_for(flat.shape, np.int16, limits, near=archive.path)
    for first in range(0, len(flat), _PART):
        found[first : first + _PART] = _samples(flat[first : first + _PART], name, name)
    return found


def _offsets(offset: Array, samples: int) -> Array:
    if offset.ndim != 1 or not len(offset) or offset.dtype.kind not in "iu":
        raise InvalidError(
            "offset must be whole numbers, one per clip and one more", code="offsets_invalid", param="offset"
        )
    starts = offset.astype(np.int64)
    if starts[0] < 0 or starts[-1] > samples or (np.diff(starts) < 0).any():
        raise InvalidError(
            f"offset must grow from 0 to at most {samples:,}, the number of samples; it runs from {starts[0]:,} to "
            f"{starts[-1]:,}",
            code="offsets_invalid",
            param="offset",
        )
    return starts


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
    clip = _samples(given, place, param)
    _check_clip(clip, rate, place, param, longest)
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


def _samples(given: Array, place: str, param: str) -> Array:
    """Return samples as int16: whole numbers are 16 bits, floats shares of full scale."""
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


def _check_clip(clip: Array, rate: int, place: str, param: str, longest: float) -> None:
    wav.check_length(len(clip) / rate, place, param, max_seconds=longest)
    wav.check_not_empty(len(clip), place, param)
