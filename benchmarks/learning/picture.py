"""The picture of learning without forgetting: accuracy over corrections, of what is new and of what was known.

    python -m benchmarks.learning picture        writes docs/learning.png; matplotlib is the extra `plot`

Medians of three seeds, with the least and the most of them as a band.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.loop import Line
from benchmarks.learning.rotation import DEGREES, Point, curves, lines
from lmaas import LMaaS

PATH = Path(__file__).parents[2] / "docs" / "learning.png"
STYLES: dict[str, tuple[str, tuple[float, float], str]] = {
    "ours": ("replay_distill\nbehind the gate", (1_600, 94), "#0b62c4"),
    "naive": ("fine-tuning\non corrections alone", (2_000, 69), "#c2410c"),
}
"""What a method is called, where that is written, and its colour."""
_PAPER, _INK, _FAINT = "#fcfcfb", "#24292f", "#d0d4d9"
"""Light paper of its own: a transparent picture would be black on black where pages are dark."""


def measure(client: LMaaS) -> list[Line]:
    """Draw, and return the lines of what is drawn and one that says where."""
    found = curves(client)
    draw(found, PATH)
    return [*lines(found), Line("    drawn", f"{PATH.parent.name}/{PATH.name}", "")]


def draw(found: dict[str, list[list[Point]]], path: Path) -> None:
    """Draw the curves of each method, one run a seed, into a PNG file."""
    from matplotlib.figure import Figure  # an extra, which the other parts do without

    figure = Figure(figsize=(9.6, 4.2), facecolor=_PAPER, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = (f"Digits turned by {DEGREES:.0f}°: what is corrected", "Upright digits: what the model knew before")
    for panel, title, field in zip(panels, titles, ("drifted", "original"), strict=True):
        _prepare(panel, title)
        every = {
            name: np.array([[getattr(point, field) for point in points] for points in found[name]]) * 100
            for name in STYLES
        }
        highest = max(np.median(runs, axis=0)[-1] for runs in every.values())
        for name, (label, place, colour) in STYLES.items():
            runs = every[name]
            at = np.array([point.corrections for point in found[name][0]])
            middle = np.median(runs, axis=0)
            panel.fill_between(at, runs.min(axis=0), runs.max(axis=0), color=colour, alpha=0.15, linewidth=0)
            panel.plot(at, middle, color=colour, linewidth=2.2)
            _label(panel, at[-1], middle[-1], above=middle[-1] == highest, colour=colour)
            if field == "original":
                panel.text(*place, label, ha="center", va="top", color=colour, fontsize=11, fontweight="bold")
    panels[0].set_ylabel("accuracy on 4,000 test digits, %", color=_INK, fontsize=11)
    figure.savefig(path, dpi=160, facecolor=_PAPER)


def _prepare(panel: Any, title: str) -> None:
    panel.set_facecolor(_PAPER)
    panel.set_title(title, loc="left", color=_INK, fontsize=12, fontweight="bold")
    panel.set_xlabel("corrections", color=_INK, fontsize=11)
    panel.set_xlim(0, 3_850)
    panel.set_ylim(35, 102)
    panel.set_xticks([0, 800, 1_600, 2_400, 3_200], ["0", "800", "1,600", "2,400", "3,200"])
    panel.tick_params(colors=_INK, labelsize=10, length=0)
    panel.grid(axis="y", color=_FAINT, linewidth=0.8)
    for side, spine in panel.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_FAINT)


def _label(panel: Any, x: float, y: float, *, above: bool, colour: str) -> None:
    panel.annotate(
        f"{y:.1f} %",
        (x, y),
        xytext=(6, 7 if above else -7),
        textcoords="offset points",
        va="center",
        color=colour,
        fontsize=11,
        fontweight="bold",
    )
