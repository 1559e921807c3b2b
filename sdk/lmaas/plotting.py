"""Explanations as pictures, by matplotlib (`pip install 'lmaas[plot]'`). Knows no endpoint.

    image, tensors of rank 2 and 3    the picture, and the heat over it
    audio                             the spectrogram, and the heat beneath it on the same axes
    text                              the words in colours
    table, tensors of rank 1          a bar for each column or number

Red speaks for what is explained, blue against it. Figures are made without pyplot, so that nothing is left open and a
program without a screen can draw; a notebook shows the figure that a cell ends with.
"""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from lmaas._heat import AGAINST, FOR, Shown, cell, check, grid_of, headline, pieces, tint, top_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Canvas: TypeAlias = Any
"""A figure or axes of matplotlib, whose methods take keywords that its types do not name."""

_INK, _FAINT = "#222222", "#8a8a8a"
_MOST_BARS = 20
_LINE = 86
"""Characters of a text in one line: so many fill the width in the size they are drawn in."""
_LIGHT = 0.55


def drawn(shown: Shown, *, path: str | PathLike[str] | None = None) -> Figure:
    """Draw the explanation of a row and return the figure; saved as the ending of `path` says, where there is one.

    Raises:
        ValueError: The row has an error instead of an explanation.
        ImportError: matplotlib is not installed.
    """
    check(shown)
    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise ImportError("drawing needs matplotlib: pip install 'lmaas[plot]'") from exc
    figure: Canvas = Figure(dpi=144, facecolor="white", layout="constrained")
    _PAINTERS.get(str(shown.kind), _numbers)(figure, shown)
    if path is not None:
        figure.savefig(path)
    return cast("Figure", figure)


def _numbers(figure: Canvas, shown: Shown) -> None:
    grid = grid_of(shown)
    if len(grid) == 1:
        values: list[float] = shown.input or grid[0]
        _bars(figure, shown, {f"[{i}] = {v:.3g}": a for i, (v, a) in enumerate(zip(values, grid[0], strict=True))})
        return
    _picture(figure, shown)


def _picture(figure: Canvas, shown: Shown) -> None:
    """Draw the picture, and beside it the heat over a pale copy of it."""
    grid, picture = grid_of(shown), _pixels(shown)
    height, width = len(grid), len(grid[0])
    figure.set_size_inches(7.2, 0.9 + 3.1 * min(1.6, max(0.3, height / width)))
    left, right = figure.subplots(1, 2)
    smooth = "nearest" if max(height, width) <= 64 else "antialiased"  # noqa: PLR2004 - pixels that can be seen
    left.imshow(picture, cmap="gray", interpolation=smooth)
    right.imshow(_pale(picture), cmap="gray", vmin=0, vmax=1, interpolation=smooth)
    _heat(figure, right, grid, shown, interpolation=smooth)
    _title(left, headline(shown))
    _title(right, f"what speaks for {shown.target}" if shown.value is None else "what raises the value")
    for axes in (left, right):
        axes.set_xticks([])
        axes.set_yticks([])
        _frame(axes)


def _sound(figure: Canvas, shown: Shown) -> None:
    """Draw the spectrogram above and the heat below, over the same seconds and bands."""
    figure.set_size_inches(7.2, 5.0)
    upper, lower = figure.subplots(2, 1, sharex=True, sharey=True)
    bands, frames = len(shown.levels), len(shown.levels[0])
    extent = (0.0, frames * shown.frame_seconds, 0.0, float(bands))
    image = upper.imshow(shown.levels, origin="lower", aspect="auto", extent=extent, cmap="magma")
    _scale_beside(figure, upper, image, ["quiet", "loud"])
    _heat(figure, lower, list(reversed(grid_of(shown))), shown, origin="lower", aspect="auto", extent=extent)
    _title(upper, headline(shown))
    _title(lower, f"what speaks for {shown.target}" if shown.value is None else "what raises the value")
    lower.set_xlabel("seconds", color=_FAINT, fontsize=9)
    marks = list(range(0, bands, max(1, bands // 5)))
    for axes in (upper, lower):
        axes.set_yticks([place + 0.5 for place in marks], [_hertz(shown.hertz[place]) for place in marks])
        axes.tick_params(colors=_FAINT, labelsize=8, length=2)
        _frame(axes)


def _words(figure: Canvas, shown: Shown) -> None:
    """Draw the words one after the other on coloured ground, in lines."""
    top = top_of(shown.attributions)
    lines = _wrapped(pieces(shown))
    figure.set_size_inches(7.2, 0.55 + 0.27 * len(lines))
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(0, _LINE)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    for down, line in enumerate(lines):
        at = 0
        for part, value in line:
            share = 0.0 if value is None else value / top
            ground = "none" if value is None else _rgb(tint(share))
            ink = "white" if abs(share) > _LIGHT else _INK
            box = {"boxstyle": "square,pad=0.12", "facecolor": ground, "edgecolor": "none"}
            if part.strip():
                style: dict[str, Any] = {"family": "monospace", "fontsize": 9.5, "va": "center", "color": ink}
                axes.text(at, down, part, bbox=box, **style)
            at += len(part)
    _title(axes, headline(shown))


def _columns(figure: Canvas, shown: Shown) -> None:
    row: dict[str, Any] = shown.input or {}
    _bars(figure, shown, {f"{name} = {cell(row.get(name))}": value for name, value in shown.attributions.items()})


def _bars(figure: Canvas, shown: Shown, values: dict[str, float]) -> None:
    """Draw a bar for each part, the longest on top; what would make too many is added up in a last one."""
    ranked = sorted(values.items(), key=lambda item: -abs(item[1]))
    if len(ranked) > _MOST_BARS:
        rest = ranked[_MOST_BARS - 1 :]
        ranked = [*ranked[: _MOST_BARS - 1], (f"{len(rest)} others", sum(value for _, value in rest))]
    figure.set_size_inches(7.2, 1.0 + 0.28 * len(ranked))
    axes = figure.subplots()
    places = range(len(ranked))
    sizes = [value for _, value in ranked]
    axes.barh(places, sizes, height=0.66, color=[_rgb(FOR if value > 0 else AGAINST) for value in sizes])
    axes.set_yticks(places, [name if len(name) <= 40 else f"{name[:39]}…" for name, _ in ranked])  # noqa: PLR2004
    axes.invert_yaxis()
    axes.axvline(0, color=_INK, linewidth=0.8)
    span = max(map(abs, sizes), default=0.0) or 1.0
    for place, value in enumerate(sizes):
        side = 1 if value >= 0 else -1
        axes.text(
            value + side * span * 0.015,
            place,
            f"{value:+.2g}",
            va="center",
            ha="left" if side > 0 else "right",
            fontsize=8,
            color=_FAINT,
        )
    axes.set_xlim(min(0, *sizes) - span * 0.14, max(0, *sizes) + span * 0.14)
    axes.tick_params(axis="y", colors=_INK, labelsize=9, length=0)
    axes.tick_params(axis="x", colors=_FAINT, labelsize=8, length=2)
    for name in ("top", "right", "left"):
        axes.spines[name].set_visible(False)
    axes.spines["bottom"].set_color("#cccccc")
    _title(axes, headline(shown))
    about = "lowers the value   ·   raises the value" if shown.value is not None else "against   ·   for"
    axes.set_xlabel(about if shown.value is not None else f"{about} {shown.target}", color=_FAINT, fontsize=9)


def _heat(figure: Canvas, axes: Canvas, grid: list[list[float]], shown: Shown, **how: Any) -> None:
    """Lay attributions over the axes: clear where they are small, so that what lies beneath is seen."""
    top = top_of([value for line in grid for value in line])
    layer = [[_layer(value / top, over=shown.kind != "audio") for value in line] for line in grid]
    axes.imshow(layer, **how)
    words = ["against", "0", "for"] if shown.value is None else ["lower", "0", "higher"]
    _scale_beside(figure, axes, _scale(top), words)


def _scale_beside(figure: Canvas, axes: Canvas, colours: Any, words: list[str]) -> None:
    """Draw what the colours mean, as high as the axes are, with words from its lower end to its upper."""
    bar = figure.colorbar(colours, cax=axes.inset_axes((1.015, 0, 0.022, 1)))
    low, high = colours.get_clim()
    steps = len(words) - 1
    bar.set_ticks([low + (high - low) * step / steps for step in range(steps + 1)], labels=words)
    bar.ax.tick_params(colors=_FAINT, labelsize=8, length=0)
    bar.outline.set_visible(False)


def _layer(share: float, *, over: bool) -> tuple[float, float, float, float]:
    red, green, blue = (value / 255 for value in (tint(share) if not over else tint(1 if share > 0 else -1)))
    return red, green, blue, min(1.0, abs(share)) ** 0.8 * 0.95 if over else 1.0


def _scale(top: float) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    colours = LinearSegmentedColormap.from_list("lmaas", [_rgb(AGAINST), (1, 1, 1), _rgb(FOR)])
    return ScalarMappable(Normalize(-top, top), colours)


def _pixels(shown: Shown) -> Any:
    """Return the row as matplotlib draws it: a picture from its PNG, or a tensor's numbers, channels added up."""
    if shown.kind == "image":
        from matplotlib.image import imread

        return imread(BytesIO(b64decode(shown.input["base64"])), format="png")
    values = shown.input
    while isinstance(values[0][0], list):
        values = [[sum(cell) for cell in zip(*lines, strict=True)] for lines in zip(*values, strict=True)]
    return values


def _pale(picture: Any) -> Any:
    """Return the picture in shades of light grey, so that colours can be told on it."""
    grey = [[_grey(pixel) for pixel in line] for line in picture]
    low, high = min(map(min, grey)), max(map(max, grey))
    return [[0.78 + 0.22 * (value - low) / ((high - low) or 1.0) for value in line] for line in grey]


def _grey(pixel: Any) -> float:
    """Return the mean of a pixel's colours, or the number that it is."""
    return float(pixel) if getattr(pixel, "ndim", 0) == 0 else float(sum(pixel[:3]) / len(pixel[:3]))


def _wrapped(parts: list[tuple[str, float | None]]) -> list[list[tuple[str, float | None]]]:
    """Break a text into lines between its words."""
    lines: list[list[tuple[str, float | None]]] = [[]]
    used = 0
    for part, value in parts:
        for piece in (part,) if value is not None else part.splitlines() or (part,):
            if used + len(piece) > _LINE and used and len(piece) > 1:  # a full stop stays with its sentence
                lines.append([])
                used = 0
            if piece.strip() or used:
                lines[-1].append((piece, value))
                used += len(piece)
    return lines


def _title(axes: Canvas, text: str) -> None:
    axes.set_title(text if len(text) <= 60 else f"{text[:59]}…", loc="left", fontsize=10, color=_INK)  # noqa: PLR2004


def _frame(axes: Canvas) -> None:
    for spine in axes.spines.values():
        spine.set_color("#cccccc")


def _hertz(value: float) -> str:
    return f"{value / 1000:.1f} kHz" if value >= 1000 else f"{value:.0f} Hz"  # noqa: PLR2004 - a kilohertz


def _rgb(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = (value / 255 for value in colour)
    return red, green, blue


_PAINTERS = {"audio": _sound, "image": _picture, "table": _columns, "text": _words}

__all__ = ["drawn"]
