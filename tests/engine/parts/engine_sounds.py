"""Sounds that the tests make: tones as WAV files of every width, and zips of them."""

from __future__ import annotations

import io
import wave
import zipfile

import numpy as np

RATE = 8000


def tone(hertz: float, *, seconds: float = 0.3, rate: int = RATE, loud: float = 0.5) -> np.ndarray:
    """A sine, int16."""
    time = np.arange(round(seconds * rate)) / rate
    return np.rint(np.sin(2 * np.pi * hertz * time) * loud * 32_767).astype(np.int16)


def wav(samples: np.ndarray, *, rate: int = RATE, width: int = 2, channels: int = 1) -> bytes:
    """A WAV as the standard library writes it; `samples` is what the file holds, in its own width."""
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return stream.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip of the members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def tones_npz(clips: int = 60, *, seed: int = 0, values: bool = False) -> bytes:
    """Low and high tones of different lengths, as `audio` and `offset`."""
    generator = np.random.default_rng(seed)
    labels = np.arange(clips) % 2
    hertz = np.where(labels, 1800, 500) * generator.uniform(0.9, 1.1, clips)
    parts = [tone(h, seconds=s) for h, s in zip(hertz, generator.uniform(0.2, 0.4, clips), strict=True)]
    noisy = [part + generator.integers(-300, 300, len(part), dtype=np.int16) for part in parts]
    stream = io.BytesIO()
    offset = np.cumsum([0, *map(len, parts)])
    targets = hertz.astype(np.float32) / 1000 if values else np.array(["low", "high"])[labels]
    np.savez(stream, audio=np.concatenate(noisy), offset=offset, y=targets, sample_rate=RATE)
    return stream.getvalue()
