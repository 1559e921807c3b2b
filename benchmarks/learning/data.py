"""The real data that learning is measured on, read from `LMAAS_DATA_DIR`, else `../shared/data`. Knows no model."""

from __future__ import annotations

import gzip
import io
import os
import wave
from pathlib import Path

import numpy as np
from scipy import ndimage  # type: ignore[import-untyped]  # it ships no types

from benchmarks.learning.loop import Examples

DATA = Path(os.environ.get("LMAAS_DATA_DIR") or Path(__file__).parents[3] / "shared" / "data")
MNIST = DATA / "mnist"
SPEECH = DATA / "speech" / "fsdd_8khz_int16.npz"


class AbsentError(Exception):
    """The data are not there; says where they were looked for."""


def needed(path: Path) -> Path:
    """Return the path.

    Raises:
        AbsentError: There is nothing.
    """
    if not path.exists():
        raise AbsentError(f"no {path.relative_to(DATA)} in {DATA}; LMAAS_DATA_DIR names the folder")
    return path


def digits(part: str) -> Examples:
    """Return MNIST's `train` (60,000) or `t10k` (10,000): images (n, 28, 28, 1) of uint8, and digits."""
    pixels = gzip.decompress(needed(MNIST / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress(needed(MNIST / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    images = np.frombuffer(pixels, dtype=np.uint8, offset=16).reshape(-1, 28, 28, 1)
    return Examples(images, np.frombuffer(labels, dtype=np.uint8, offset=8).astype(int))


def rotated(examples: Examples, degrees: float) -> Examples:
    """Return the same digits turned about their middle."""
    turned = ndimage.rotate(examples.rows, degrees, axes=(2, 1), reshape=False, order=1)
    return Examples(turned, examples.labels)


def voices() -> dict[str, tuple[Examples, np.ndarray]]:
    """Return by speaker the clips as WAV files with their digits, and which of them the official split tests on."""
    with np.load(needed(SPEECH)) as file:
        clips = np.split(file["audio"], file["offset"][1:-1])
        digit, speaker, take = file["label"], file["speaker"], file["index"]
    found = {}
    for name in sorted(set(speaker.tolist())):
        own = np.flatnonzero(speaker == name)
        found[str(name)] = Examples([wav(clips[row]) for row in own], digit[own].astype(int)), take[own] < 5
    return found


def wav(samples: np.ndarray) -> bytes:
    """Return 16-bit samples at 8 kHz as the bytes of a WAV file."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, 8000, len(samples), "NONE", "not compressed"))
        file.writeframes(samples.astype("<i2").tobytes())
    return stream.getvalue()
