"""Layers of networks for sound. Knows no configuration."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Disturb(nn.Module):
    """While training, moves each clip in time and blanks a run of its bands and a run of its frames.

    The masks are those of SpecAugment (Park et al., 2019); blank is 0, the mean. All chances come from torch's random
    state, so a seeded run repeats and one that was interrupted goes on as if it had not been.
    """

    def __init__(self, *, shift: int, bands: int, frames: int) -> None:
        super().__init__()
        self.shift = shift
        self.bands = bands
        self.frames = frames

    def extra_repr(self) -> str:
        """Show the settings where torch prints a network."""
        return f"shift={self.shift}, bands={self.bands}, frames={self.frames}"

    def forward(self, levels: Tensor) -> Tensor:
        """(batch, bands, frames) -> the same."""
        if not self.training:
            return levels
        (rows, bands, frames), on = levels.shape, levels.device
        moved = torch.arange(frames, device=on) - torch.randint(-self.shift, self.shift + 1, (rows, 1), device=on)
        inside = (moved >= 0) & (moved < frames)  # (batch, frames)
        levels = levels.gather(2, moved.clamp(0, frames - 1)[:, None].expand(-1, bands, -1))
        blank_frames, blank_bands = _run(rows, frames, self.frames, on), _run(rows, bands, self.bands, on)
        keep = (inside & ~blank_frames)[:, None] & ~blank_bands[:, :, None]
        return levels * keep


class PoolFrames(nn.Module):
    """The mean and the maximum over all frames, so that the linear layers do not depend on a clip's length."""

    def forward(self, maps: Tensor) -> Tensor:
        """(batch, channels, bands, frames) -> (batch, channels * bands * 2)."""
        return torch.cat([maps.mean(dim=3), maps.amax(dim=3)], dim=1).flatten(1)


def _run(rows: int, length: int, longest: int, on: torch.device) -> Tensor:
    """Return for each row where a run of 0 to `longest` places lies: (rows, length)."""
    size = torch.randint(0, min(longest, length) + 1, (rows, 1), device=on)
    start = (torch.rand(rows, 1, device=on) * (length - size + 1)).long()
    places = torch.arange(length, device=on)
    return (places >= start) & (places < start + size)
