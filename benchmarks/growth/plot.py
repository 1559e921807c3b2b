"""Draws the curves, four plots in one picture. Knows no server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.growth.curves import Curve

__all__ = ["draw"]

_TITLES = {
    "rows": "Processor time of calls, over an empty server",
    "batch": "Throughput, over one row a request",
    "concurrency": "Throughput, over one request at a time",
    "parameters": "Time of one row, over the smallest",
}
_LIMIT = 1.5


def draw(curves: Sequence[Curve], path: Path) -> None:
    """Write the picture."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    plots = [plot for plot in _TITLES if any(curve.plot == plot for curve in curves)]
    figure, axes = plt.subplots(1, len(plots), figsize=(4.2 * len(plots), 3.6), squeeze=False, layout="constrained")
    for axis, plot in zip(axes[0], plots, strict=True):
        shown = [curve for curve in curves if curve.plot == plot]
        for curve in shown:
            axis.plot(curve.xs, curve.ys, marker="o", markersize=4, label=curve.label)
        axis.set_xscale("log", base=10 if plot in {"rows", "parameters"} else 2)
        if plot == "rows":
            axis.axhline(_LIMIT, linestyle="--", linewidth=1, color="grey", label="the limit")
            axis.set_ylim(0, max(2.0, *(y * 1.1 for curve in shown for y in curve.ys)))
        else:
            axis.set_yscale("log")
        axis.set_title(_TITLES[plot], fontsize=10)
        axis.set_xlabel(shown[0].over, fontsize=9)
        axis.set_ylabel("times", fontsize=9)
        axis.grid(visible=True, which="both", linewidth=0.3, alpha=0.6)
        axis.legend(fontsize=8)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
