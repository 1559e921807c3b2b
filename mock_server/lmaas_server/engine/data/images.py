"""Pictures of one size, uint8 (rows, height, width, channels), from npz, zips of folders and JSON. Knows no torch."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from lmaas_server.engine.data.archive import Archive
from lmaas_server.engine.data.examples import Array, Examples, Json, ReadLimits
from lmaas_server.engine.data.folders import classes_of_folders, wanted_members
from lmaas_server.engine.data.spill import room_for
from lmaas_server.engine.data.tensors import read_arrays
from lmaas_server.errors import InvalidError, ServiceError, TooLargeError

KIND = "image"
_GREY, _WITH_CHANNELS = 2, 3
"""Ranks of one picture: (height, width) and (height, width, channels)."""
MAX_PIXELS = 64_000_000
"""Of one picture, by its own header, before it is decoded."""

_GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"}
_DEEP_MODES = {"I", "I;16", "I;16B", "I;16L"}
# Pillow documents OSError; its plugins raise all of these on damaged files.
_UNDECODABLE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    EOFError,
    MemoryError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def read_npz(archive: Archive, spec: Json, target: str | None, limits: ReadLimits) -> Examples:
    """Read an npz of pictures: x of shape (rows, height, width) or (rows, height, width, 1 or 3)."""
    x, targets, described = read_arrays(archive, target, limits)
    shape = _picture_shape(x.shape[1:])
    if shape is None:
        raise InvalidError(
            f"pictures are of shape (rows, height, width) or (rows, height, width, 1 or 3); x has shape {x.shape}. "
            "Say input kind tensor for other numbers",
            code="shape_mismatch",
            param="x",
        )
    height, width = spec.get("size") or shape[:2]
    channels = spec.get("channels") or shape[2]
    pictures = room_for((len(x), height, width, channels), np.uint8, limits, near=archive.path)
    for index, row in enumerate(x):
        pictures[index] = _fitted(_as_bytes(row, f"x row {index}", f"x[{index}]"), pictures.shape[1:])
    return _examples(pictures, targets, "npz", described)


def read_zip(archive: Archive, spec: Json, target: str | None, limits: ReadLimits) -> Examples:
    """Read a zip with one folder per class holding PNG or JPEG files; a folder around all of them is ignored."""
    members = wanted_members(archive, target, what="pictures", limits=limits)
    targets, classes = classes_of_folders(members, archive.filename, target)
    first = _decoded(archive.read(members[0]), f"{members[0].filename} in {archive.filename}", "file")
    channels = spec.get("channels") or (1 if first.mode in _GREY_MODES else 3)
    height, width = spec.get("size") or (first.height, first.width)
    archive.spend(len(members) * height * width * channels, f"{len(members):,} pictures of {width} x {height}")
    pictures = room_for((len(members), height, width, channels), np.uint8, limits, near=archive.path)
    for index, info in enumerate(members):
        picture = (
            first if index == 0 else _decoded(archive.read(info), f"{info.filename} in {archive.filename}", "file")
        )
        pictures[index] = _pixels(picture, pictures.shape[1:])
    return _examples(pictures, targets, "zip", classes)


def rows(inputs: Array | Sequence[Any], description: Json) -> tuple[Array, dict[int, ServiceError]]:
    """Turn prediction inputs into uint8 pictures: arrays of pixels, or `{"base64": ...}` of a PNG or JPEG.

    A bad row is black in the array and named in the errors.
    """
    shape = tuple(description["shape"])
    array = np.zeros((len(inputs), *shape), dtype=np.uint8)
    errors: dict[int, ServiceError] = {}
    for index, value in enumerate(inputs):
        try:
            array[index] = _row(value, shape, index)
        except ServiceError as exc:
            errors[index] = exc
    return array, errors


def preview(row: Array) -> Any:
    """Return one picture as JSON shows it: `{"base64": ...}` of a PNG."""
    stream = io.BytesIO()
    Image.fromarray(row[:, :, 0] if row.shape[2] == 1 else row).save(stream, format="PNG")
    return {"base64": base64.b64encode(stream.getvalue()).decode("ascii")}


def _examples(pictures: Array, targets: Array | None, form: str, described: Json) -> Examples:
    description = {"kind": KIND, "shape": list(pictures.shape[1:]), "dtype": "uint8"}
    return Examples(inputs=pictures, targets=targets, format=form, input=description, target=described)


def _row(value: Any, shape: tuple[int, ...], index: int) -> Array:
    param = f"inputs[{index}]"
    if isinstance(value, dict):
        if set(value) != {"base64"} or not isinstance(value["base64"], str):
            raise InvalidError(
                f'row {index} must be pixels of shape {shape} or {{"base64": "..."}} of a PNG or JPEG',
                code="input_invalid",
                param=param,
            )
        try:
            data = base64.b64decode(value["base64"], validate=True)
        except (binascii.Error, ValueError) as exc:
            raise InvalidError(f"row {index} is not base64: {exc}", code="input_invalid", param=param) from exc
        return _pixels(_decoded(data, f"row {index}", param), shape)
    try:
        pixels = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as exc:
        raise InvalidError(f"row {index} is not an array of pixels", code="input_invalid", param=param) from exc
    if _picture_shape(pixels.shape) != shape:
        raise InvalidError(
            f"row {index} has shape {pixels.shape}; the model takes pictures of shape {shape}: height, width, channels",
            code="shape_mismatch",
            param=param,
        )
    return _as_bytes(pixels, f"row {index}", param)


def _picture_shape(shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    if len(shape) == _GREY and 0 not in shape:
        return (shape[0], shape[1], 1)
    if len(shape) == _WITH_CHANNELS and 0 not in shape and shape[2] in {1, 3}:
        return (shape[0], shape[1], shape[2])
    return None


def _as_bytes(pixels: Array, place: str, param: str) -> Array:
    """Return pixels as (height, width, channels) uint8: whole numbers are 0 to 255, floats shares of white."""
    shape = _picture_shape(pixels.shape)
    if pixels.dtype.kind not in "iuf":
        raise InvalidError(f"{place} is of {pixels.dtype}; pixels are numbers", code="input_invalid", param=param)
    if pixels.dtype != np.uint8:
        if not np.isfinite(pixels).all():
            raise InvalidError(f"{place} holds NaN or infinity", code="not_finite", param=param)
        top = 1 if pixels.dtype.kind == "f" else 255
        if pixels.min() < 0 or pixels.max() > top:
            raise InvalidError(
                f"{place} holds pixels from {pixels.min()} to {pixels.max()}; whole numbers must be within 0 and 255, "
                "floats within 0 and 1",
                code="pixels_out_of_range",
                param=param,
            )
        pixels = np.rint(pixels * 255).astype(np.uint8) if top == 1 else pixels.astype(np.uint8)
    return pixels.reshape(shape or pixels.shape)


def _fitted(pixels: Array, shape: tuple[int, ...]) -> Array:
    if pixels.shape == shape:
        return pixels
    return _pixels(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels), shape)


def _decoded(data: bytes, place: str, param: str) -> Image.Image:
    try:
        picture = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        if picture.width * picture.height <= MAX_PIXELS:
            picture.load()
            return ImageOps.exif_transpose(picture)
    except _UNDECODABLE as exc:
        raise InvalidError(
            f"{place} is not a PNG or JPEG that can be decoded", code="image_undecodable", param=param
        ) from exc
    raise TooLargeError(
        f"{place} is {picture.width} x {picture.height}; at most {MAX_PIXELS:,} pixels are decoded",
        code="image_too_large",
        param=param,
    )


def _pixels(picture: Image.Image, shape: tuple[int, ...]) -> Array:
    height, width, channels = shape
    if picture.mode in _DEEP_MODES:  # convert() would clip 16 bits at 255
        picture = Image.fromarray((np.asarray(picture, dtype=np.int64).clip(0, 65_535) >> 8).astype(np.uint8))
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(picture).reshape(shape)
