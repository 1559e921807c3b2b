"""Sound brought to another sample rate, in numpy; knows no file and no torch."""

from __future__ import annotations

import functools
import math

import numpy as np

from lmaas_server.engine.data.examples import Array

_ZEROS = 16
"""Zero crossings of the filter on each side: with the Kaiser window below, aliases are 60 dB down or more."""
_BETA = 8.0
_CUTOFF = 0.94
"""Of the lower Nyquist frequency: the filter falls off before the rates fold."""


def resampled_length(samples: int, rate: int, wanted: int) -> int:
    """Return how many samples `resample` makes of so many."""
    return samples if rate == wanted else max(1, math.ceil(samples * wanted / rate))


def resample(samples: Array, rate: int, wanted: int) -> Array:
    """Return int16 samples of `rate` at the rate `wanted`: band-limited interpolation by a windowed sinc.

    The ratio of the rates is a fraction up/down, and every `up` outputs the filter falls on the inputs in the same
    places again, so there are `up` filters (polyphase; Crochiere and Rabiner, 1983).
    """
    if rate == wanted:
        return samples
    shared = math.gcd(rate, wanted)
    up, down = wanted // shared, rate // shared
    filters = _filters(up, down)  # (up, taps)
    count, taps = resampled_length(len(samples), rate, wanted), filters.shape[1]
    left = taps // 2 - 1
    last = (count - 1) * down // up
    padded = np.zeros(max(len(samples) + left, last + taps) + taps, dtype=np.float32)
    padded[left : left + len(samples)] = samples
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps)
    found = np.empty(count, dtype=np.float32)
    for phase in range(min(up, count)):
        places = np.arange(phase, count, up) * down
        found[phase::up] = windows[places // up] @ filters[places[0] % up]
    return np.rint(found).clip(-32_768, 32_767).astype(np.int16)


@functools.lru_cache(maxsize=4)
def _filters(up: int, down: int) -> Array:
    """Return a filter for each of the `up` places between two inputs where an output may fall: (up, taps)."""
    cutoff = _CUTOFF * min(1.0, up / down)
    half = math.ceil(_ZEROS / cutoff)
    offsets = np.arange(-half + 1, half + 1)  # inputs around the output
    distance = offsets[None, :] - (np.arange(up) / up)[:, None]  # (up, taps), in inputs
    window = np.i0(_BETA * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, None))) / np.i0(_BETA)
    filters = cutoff * np.sinc(cutoff * distance) * window
    found: Array = (filters / filters.sum(axis=1, keepdims=True)).astype(np.float32)
    return found
