"""Handwritten digits for the examples: two real sets, a way to draw them, and a scanner that went out of true."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]

MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
# sha256 of the files unpacked: how they were compressed differs from mirror to mirror
MNIST_FILES = {
    "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def load(name: str) -> tuple[Images, Images]:
    """Return images (n, height, width) and labels (n,) of `digits` (1,797, ships here) or `mnist` (70,000)."""
    if name == "digits":
        with np.load(Path(__file__).parent / "data" / "digits.npz") as file:
            return file["x"], file["y"]
    if name != "mnist":
        raise SystemExit(f"there is no data set {name!r}; choose digits or mnist")
    parts = [_idx(_mnist_file(file)) for file in MNIST_FILES]
    return np.concatenate([parts[0], parts[2]]), np.concatenate([parts[1], parts[3]])


def shifted(images: Images) -> Images:
    """Return the images as a scanner sees them that is an eighth of their width off to the right."""
    off = images.shape[2] // 8
    return np.pad(images, ((0, 0), (0, 0), (off, 0)))[:, :, : images.shape[2]]


def draw(images: Images, captions: list[str]) -> str:
    """Return the images side by side as text, two rows of pixels to a line, a caption under each."""
    ink = images > images.max() * 0.4
    tall = np.pad(ink, ((0, 0), (0, images.shape[1] % 2), (1, 2)))
    blocks = np.array([" ", "▀", "▄", "█"])[tall[:, 0::2] + 2 * tall[:, 1::2]]
    lines = ["".join("".join(image[row]) for image in blocks) for row in range(blocks.shape[1])]
    return "\n".join([*lines, "".join(caption.center(blocks.shape[2]) for caption in captions)])


def _mnist_file(name: str) -> bytes:
    folder = Path(os.environ.get("LMAAS_DATA_DIR", Path.home() / ".cache" / "lmaas"))
    candidates = [folder / "mnist" / name, folder / name]
    found = next((path for path in candidates if path.exists()), None)
    packed = found.read_bytes() if found else httpx.get(MNIST_URL + name, timeout=60).raise_for_status().content
    unpacked = gzip.decompress(packed)
    if hashlib.sha256(unpacked).hexdigest() != MNIST_FILES[name]:
        raise SystemExit(f"{found or MNIST_URL + name} is damaged: its checksum is not that of MNIST")
    if not found:
        candidates[0].parent.mkdir(parents=True, exist_ok=True)
        candidates[0].write_bytes(packed)
    return unpacked


def _idx(data: bytes) -> Images:
    """Read LeCun's idx format: a big-endian header of the rank and the lengths, then bytes."""
    rank = data[3]
    shape = np.frombuffer(data, ">u4", count=rank, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)
