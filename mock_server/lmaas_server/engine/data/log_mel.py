"""Clips on their way into a network: how loud each band is in each frame, in torch. Knows no files and no models."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lmaas_server.engine.data.audio_features import AudioPreprocessing, mel_filters
from lmaas_server.engine.data.examples import Array
from lmaas_server.engine.device import device

_CHUNK = 128
"""Clips whose spectra are computed at once: some ten megabytes for clips of a second."""
_FLOOR = 1e-6
"""Of the power in a band, before the logarithm: 60 dB under full scale, where 16 bits have only noise."""
_LEAST_SPREAD = 1e-3


class AudioFeed:
    """Gives (bands, frames) of log-mel for each clip, standardised over the frames that the clip covers.

    Frames beyond a clip's end hold 0, the mean. A clip longer than the fitted length is cut at both ends alike.
    """

    def __init__(self, preprocessing: AudioPreprocessing) -> None:
        self.preprocessing = preprocessing
        self._width = 1 << (preprocessing.window - 1).bit_length()
        self._device = device()
        self._taper = torch.hann_window(preprocessing.window).to(self._device)
        filters = mel_filters(preprocessing.sample_rate, self._width // 2 + 1, preprocessing.bands)
        self._filters = torch.from_numpy(filters).to(self._device)  # (bins, bands)

    def __repr__(self) -> str:
        return f"AudioFeed({self.preprocessing!r})"

    def hold(self, inputs: Array) -> Tensor:
        """Return the features of all clips: (clips, bands, frames)."""
        bands, frames = self.preprocessing.network_shape
        found = torch.zeros(len(inputs), bands, frames, device=self._device)
        for at in range(0, len(inputs), _CHUNK):
            part = inputs[at : at + _CHUNK]
            found[at : at + len(part)] = self._features(part)
        return found

    def batch(self, held: Tensor) -> Tensor:
        """Return the features as they are."""
        return held

    def rows(self, inputs: Array) -> Tensor:
        """Return the features of raw clips."""
        return self.hold(inputs)

    def loudness(self, clip: Array) -> Tensor:
        """Return the log-mel of one clip as it is, before it is standardised: (bands, frames)."""
        samples, _ = self._laid_out([clip])
        return self._log_mel(samples)[0]

    def covered(self, clip: Array) -> int:
        """Return how many frames a clip covers."""
        return int(self._laid_out([clip])[1][0])

    def _features(self, clips: Array | list[Array]) -> Tensor:
        samples, covered = self._laid_out(clips)
        levels = self._log_mel(samples)  # (clips, bands, frames)
        mask = (torch.arange(levels.shape[2], device=self._device) < covered[:, None])[:, None]  # (clips, 1, frames)
        count = (covered * levels.shape[1])[:, None, None]
        mean = (levels * mask).sum(dim=(1, 2), keepdim=True) / count
        centred = (levels - mean) * mask
        spread = (centred.square().sum(dim=(1, 2), keepdim=True) / count).sqrt()
        return centred.div_(spread.clamp(min=_LEAST_SPREAD))

    def _log_mel(self, samples: Tensor) -> Tensor:
        """(clips, samples) -> (clips, bands, frames)."""
        framed = samples.unfold(1, self.preprocessing.window, self.preprocessing.hop) * self._taper
        power: Tensor = torch.fft.rfft(framed, n=self._width).abs().square()  # (clips, frames, bins)
        return ((power @ self._filters) / len(self._taper) + _FLOOR).log().transpose(1, 2)

    def _laid_out(self, clips: Array | list[Array]) -> tuple[Tensor, Tensor]:
        """Return shares of full scale of one length, and how many frames each clip covers."""
        fitted, window, hop = self.preprocessing.samples, self.preprocessing.window, self.preprocessing.hop
        frames = self.preprocessing.network_shape[1]
        laid = np.zeros((len(clips), window + (frames - 1) * hop), dtype=np.float32)
        covered = np.empty(len(clips), dtype=np.int64)
        for row, clip in enumerate(clips):
            spare = max(0, len(clip) - fitted) // 2
            kept = clip[spare : spare + fitted]
            laid[row, : len(kept)] = kept
            covered[row] = min(frames, 1 + max(0, -(-(len(kept) - window) // hop)))
        return torch.from_numpy(laid / 32_768).to(self._device), torch.from_numpy(covered).to(self._device)
