"""What is fitted for sound and kept with a model: its rate, its length, its bands. Knows no torch; `log_mel` does."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from lmaas_server.engine.data.examples import Array, Json

BANDS = 40
_WINDOW_SECONDS, _HOP_SECONDS = 0.025, 0.010
_LENGTH_SHARE = 0.98
"""So many of the training clips fit whole into the length that is fitted; longer ones are cut at both ends."""
_LOWEST_HZ = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioPreprocessing:
    """Clips of one rate, brought to one length; `samples` is that length."""

    sample_rate: int
    samples: int
    bands: int = BANDS
    kind: str = "audio"

    @classmethod
    def fit(cls, inputs: Array, description: Json) -> Self:
        """Fit the length on the training clips, unless it was given as `seconds`."""
        rate = int(description["sample_rate"])
        wish = description.get("seconds")
        lengths = np.array([len(clip) for clip in inputs])
        samples = round(wish * rate) if wish else int(np.quantile(lengths, _LENGTH_SHARE))
        return cls(sample_rate=rate, samples=samples, bands=int(description.get("bands") or BANDS))

    @classmethod
    def from_json(cls, stored: Json) -> Self:
        """Read what `to_json` wrote."""
        return cls(sample_rate=stored["sample_rate"], samples=stored["samples"], bands=stored["bands"])

    def to_json(self) -> Json:
        """Return the fitted state as JSON."""
        return {"kind": self.kind, "sample_rate": self.sample_rate, "samples": self.samples, "bands": self.bands}

    @property
    def window(self) -> int:
        """Samples that one frame looks at."""
        return window_of(self.sample_rate)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return hop_of(self.sample_rate)

    @property
    def network_shape(self) -> tuple[int, int]:
        """(bands, frames)."""
        return self.bands, frames_of(self.samples, self.sample_rate)


def described_shape(description: Json) -> tuple[int, int]:
    """Return (bands, frames) as far as the description tells: the length is fitted on fewer rows than it knows."""
    rate = int(description["sample_rate"])
    samples = round((description.get("seconds") or description["typical_seconds"]) * rate)
    return int(description.get("bands") or BANDS), frames_of(samples, rate)


def window_of(rate: int) -> int:
    """Return the samples of a frame."""
    return round(_WINDOW_SECONDS * rate)


def hop_of(rate: int) -> int:
    """Return the samples from frame to frame."""
    return round(_HOP_SECONDS * rate)


def frames_of(samples: int, rate: int) -> int:
    """Return how many frames cover so many samples; the last one may reach beyond them."""
    return 1 + max(0, math.ceil((samples - window_of(rate)) / hop_of(rate)))


@functools.lru_cache(maxsize=8)
def mel_filters(rate: int, bins: int, bands: int) -> Array:
    """Return triangles, evenly wide on the mel scale, over the bins of a spectrum: (bins, bands), float32.

    The scale is O'Shaughnessy's, 2595 log10(1 + f / 700). A triangle narrower than a bin takes the bin at its peak.
    """
    edges = np.linspace(_mel(_LOWEST_HZ), _mel(rate / 2), bands + 2)
    hertz = 700 * (10 ** (edges / 2595) - 1)
    bin_hertz = np.linspace(0, rate / 2, bins)[:, None]
    low, peak, high = hertz[:-2], hertz[1:-1], hertz[2:]
    filters = np.minimum((bin_hertz - low) / (peak - low), (high - bin_hertz) / (high - peak)).clip(0)
    empty = np.flatnonzero(filters.sum(axis=0) == 0)
    filters[np.rint(peak[empty] / (rate / 2) * (bins - 1)).astype(int), empty] = 1
    return filters.astype(np.float32)


def centre_hertz(rate: int, bands: int) -> list[float]:
    """Return the frequency in the middle of each band."""
    edges = np.linspace(_mel(_LOWEST_HZ), _mel(rate / 2), bands + 2)[1:-1]
    return [700 * (10 ** (float(edge) / 2595) - 1) for edge in edges]


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)
