"""Clips of sound as files hold them: zips of WAV folders, and npz. Brings all to one rate; knows no torch."""

from __future__ import annotations

import math
import zipfile

import numpy as np

from lmaas_server.engine.data import wav
from lmaas_server.engine.data.archive import Archive
from lmaas_server.engine.data.audio import KIND
from lmaas_server.engine.data.audio_features import described_shape
from lmaas_server.engine.data.clips import check_clip, samples_of, views
from lmaas_server.engine.data.examples import Array, Examples, Json, ReadLimits
from lmaas_server.engine.data.folders import classes_of_folders, wanted_members
from lmaas_server.engine.data.npy import read_npz as read_arrays
from lmaas_server.engine.data.resampling import resample, resampled_length
from lmaas_server.engine.data.spill import room_for
from lmaas_server.engine.data.targets import read_targets
from lmaas_server.errors import InvalidError

MOST_RATE = 16_000
"""Speech needs no more; a higher rate is for those who name it."""
_LABELS = ("y", "label")
_TYPICAL = 0.98
_MATRIX = 2
_PART = 1 << 17


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
    return _examples(views(flat, starts), targets, described, form="zip", told=_told(rate, spec, limits))


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
        check_clip(clip, given, f"clip {row} in {archive.filename}", f"audio[{row}]", limits.max_clip_seconds)
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
    return views(flat, starts)


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
        return views(_all_samples(flat, "audio", archive, limits), _offsets(arrays["offset"], len(flat)))
    x = arrays.get("x")
    if x is None or x.ndim != _MATRIX:
        found = "no clips" if x is None else f"x of shape {x.shape}"
        raise InvalidError(
            f"{archive.filename} has {found}; save them as x of shape (clips, samples), or as audio and offset",
            code="array_missing" if x is None else "shape_mismatch",
            param="x",
        )
    return views(_all_samples(x.reshape(-1), "x", archive, limits), np.arange(len(x) + 1) * x.shape[1])


def _all_samples(flat: Array, name: str, archive: Archive, limits: ReadLimits) -> Array:
    """Return the samples of a file as int16, those of another type part by part."""
    if flat.dtype == np.int16:
        return flat
    found = room_for(flat.shape, np.int16, limits, near=archive.path)
    for first in range(0, len(flat), _PART):
        found[first : first + _PART] = samples_of(flat[first : first + _PART], name, name)
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
