"""Attributions as coloured characters: for the terminal and for notebooks. Knows no endpoint and needs no library.

Red speaks for what is explained, blue against it, and the more of it the stronger the colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import zip_longest
from typing import Any, Protocol

FOR, AGAINST = (202, 44, 50), (32, 98, 180)
"""The colours at their strongest."""
_PAPER = (255, 255, 255)
_LIGHT = 0.55
"""A share of colour above which letters turn white."""
_SHARE = 0.99
"""The strongest hundredth of many numbers is drawn alike, so that a single one does not pale the others."""
_WIDTH, _BAR = 64, 24
_MANY = 100
_EIGHTHS = " ▏▎▍▌▋▊▉█"

Colour = tuple[int, int, int]


class Shown(Protocol):
    """What is drawn of an explanation; `lmaas.types.Attribution` has it."""

    label: Any
    score: Any
    labels: Any
    value: Any
    target: Any
    kind: Any
    attributions: Any
    output: Any
    input: Any
    tokens: Any
    spans: Any
    levels: Any
    hertz: Any
    frame_seconds: Any
    error: Any


def for_terminal(shown: Shown, *, colour: bool = True) -> str:
    """Return the explanation as lines for a terminal; without `colour`, signs and figures stand for it."""
    check(shown)
    lines = [headline(shown)]
    if shown.kind == "text":
        lines.append(_text(shown, colour=colour))
    elif shown.kind == "table":
        lines += _bars(dict(shown.attributions), shown.input or {}, colour=colour)
    else:
        grid = grid_of(shown)
        if len(grid) == 1 and len(grid[0]) <= _BAR:
            lines += _bars({f"[{place}]": value for place, value in enumerate(grid[0])}, {}, colour=colour)
        else:
            lines += _blocks(grid, colour=colour)
    return "\n".join(lines)


def for_notebook(shown: Shown) -> str:
    """Return the explanation as HTML."""
    if shown.error is not None:
        return f"<p>{escape(str(shown.error.message))}</p>"
    body = _html_text(shown) if shown.kind == "text" else _html_cells(shown)
    return f'<div style="margin:.6em 0"><div style="color:#555">{escape(headline(shown))}</div>{body}</div>'


def check(shown: Shown) -> None:
    """Refuse to draw an error.

    Raises:
        ValueError: The row could not be predicted, so there is nothing to explain.
    """
    if shown.error is not None:
        raise ValueError(f"there is no explanation of this row: {shown.error.message}")


def headline(shown: Shown) -> str:
    """Say what was predicted and what is explained: `spam (98 %)`, `7 (61 %), and why not 9`."""
    if shown.value is not None:
        several = isinstance(shown.value, list)
        return f"value {shown.output:.4g}" + (f" (number {shown.target})" if several else "")
    if shown.labels is not None:
        said = ", ".join(map(str, shown.labels)) or "no class"
        return said if shown.target in shown.labels else f"{said}; and {shown.target}"
    said = f"{shown.label} ({shown.score:.0%})"
    return said if shown.target == shown.label else f"{said}, and what speaks for {shown.target}"


def cell(value: Any) -> str:
    """Return a cell of a table as people write it: 43, not 43.0."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def grid_of(shown: Shown) -> list[list[float]]:
    """Return attributions as rows of numbers: channels summed up, of sound the high bands first."""
    values, rank, inner = shown.attributions, 0, shown.attributions
    while isinstance(inner, list):
        rank, inner = rank + 1, _first(inner)
    if shown.kind == "image":
        return [[sum(pixel) for pixel in line] for line in values]
    while rank > 2:  # noqa: PLR2004 - channels first
        values, rank = _added(values), rank - 1
    if rank == 1:
        return [list(values)]
    return list(reversed(values)) if shown.kind == "audio" else list(values)


def _first(values: Any) -> Any:
    return values[0]


def _added(parts: Any) -> Any:
    """Return nested lists of numbers, added up over the outermost level."""
    first = parts[0]
    if isinstance(first, list):
        return [_added(same) for same in zip(*parts, strict=True)]
    return sum(parts)


def top_of(values: Sequence[float]) -> float:
    """Return the size that is drawn in full colour."""
    sizes = sorted(abs(value) for value in values)
    place = min(len(sizes) - 1, int(len(sizes) * _SHARE)) if len(sizes) >= _MANY else len(sizes) - 1
    return (sizes[place] or sizes[-1]) if sizes and sizes[-1] > 0 else 1.0


def tint(share: float, ground: Colour = _PAPER) -> Colour:
    """Return the colour of a share of the strongest: -1 speaks against, 1 for."""
    share = max(-1.0, min(1.0, share))
    colour, strength = (FOR if share > 0 else AGAINST), abs(share)
    red, green, blue = (round(g + (c - g) * strength) for g, c in zip(ground, colour, strict=True))
    return red, green, blue


def pieces(shown: Shown) -> list[tuple[str, float | None]]:
    """Return a text in pieces with their attributions; what is between the words has None."""
    text, found, at = str(shown.input), list[tuple[str, float | None]](), 0
    for (first, last), value in zip(shown.spans, shown.attributions, strict=True):
        if first > at:
            found.append((text[at:first], None))
        found.append((text[first:last], value))
        at = last
    return [*found, (text[at:], None)] if at < len(text) else found


def _text(shown: Shown, *, colour: bool) -> str:
    top = top_of(shown.attributions)
    if not colour:
        return "".join(part if value is None else f"{part}[{value / top:+.1f}]" for part, value in pieces(shown))
    return "".join(part if value is None else _painted(part, value / top) for part, value in pieces(shown))


def _painted(text: str, share: float) -> str:
    ground = tint(share)
    ink = _PAPER if abs(share) > _LIGHT else (20, 20, 20)
    return f"\x1b[48;2;{_code(ground)}m\x1b[38;2;{_code(ink)}m{text}\x1b[0m"


def _code(colour: Colour) -> str:
    return ";".join(map(str, colour))


def _bars(values: dict[str, float], row: dict[str, Any], *, colour: bool) -> list[str]:
    """Return a bar for each part, the longest first."""
    top = top_of(list(values.values()))
    names = {name: f"{name} = {cell(row[name])}" if name in row else name for name in values}
    width = min(40, max(map(len, names.values()), default=0))
    lines: list[str] = []
    for name, value in sorted(values.items(), key=lambda item: -abs(item[1])):
        eighths = round(abs(value) / top * _BAR * 8)
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        if colour and bar:
            bar = f"\x1b[38;2;{_code(FOR if value > 0 else AGAINST)}m{bar}\x1b[0m"
        lines.append(f"  {names[name][:width]:<{width}}  {value:+.3g}".ljust(width + 14) + bar)
    return lines


def _blocks(grid: list[list[float]], *, colour: bool) -> list[str]:
    """Return a heat map, two rows of it in a line of characters."""
    grid = _narrowed(grid)
    top = top_of([value for line in grid for value in line])
    if not colour:
        return ["".join("-" if v < -top / 3 else "+" if v > top / 3 else "·" for v in line) for line in grid]
    lines: list[str] = []
    for upper, lower in zip_longest(grid[::2], grid[1::2]):
        cells = zip(upper, lower or [0.0] * len(upper), strict=True)
        painted = (f"\x1b[38;2;{_code(tint(a / top))}m\x1b[48;2;{_code(tint(b / top))}m▀" for a, b in cells)
        lines.append("  " + "".join(painted) + "\x1b[0m")
    return lines


def _narrowed(grid: list[list[float]]) -> list[list[float]]:
    """Return the grid with neighbours added up, so that it is no wider than a terminal."""
    step = -(-len(grid[0]) // _WIDTH)
    if step == 1:
        return grid
    down = step if len(grid) > _WIDTH // 2 else 1
    rows = [[sum(line[at : at + step]) for at in range(0, len(line), step)] for line in grid]
    return [[sum(column) for column in zip(*rows[at : at + down], strict=True)] for at in range(0, len(rows), down)]


def _html_text(shown: Shown) -> str:
    top = top_of(shown.attributions)
    parts = (escape(part) if value is None else _html_word(part, value, top) for part, value in pieces(shown))
    return f'<div style="line-height:1.9;white-space:pre-wrap">{"".join(parts)}</div>'


def _html_word(word: str, value: float, top: float) -> str:
    ink = "#fff" if abs(value / top) > _LIGHT else "#141414"
    style = f"background:rgb({','.join(map(str, tint(value / top)))});color:{ink};border-radius:3px;padding:1px 2px"
    return f'<span style="{style}" title="{value:+.3g}">{escape(word)}</span>'


def _html_cells(shown: Shown) -> str:
    """Return a table's columns as rows with bars, and anything else as small coloured cells."""
    if shown.kind == "table":
        top = top_of(list(shown.attributions.values()))
        row: dict[str, Any] = shown.input or {}
        ranked = sorted(shown.attributions.items(), key=lambda item: -abs(item[1]))
        rows = (_html_bar(f"{name} = {cell(row.get(name))}", value, top) for name, value in ranked)
        return f'<table style="border-collapse:collapse">{"".join(rows)}</table>'
    grid = _narrowed(grid_of(shown))
    top = top_of([value for line in grid for value in line])
    size = max(3, min(14, 420 // len(grid[0])))
    square = '<td style="padding:0;width:{}px;background:rgb{}"></td>'
    lines = ("".join(square.format(size, tint(value / top)) for value in line) for line in grid)
    cells = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<table style="border-collapse:collapse;line-height:{size}px;height:{size * len(grid)}px">{cells}</table>'


def _html_bar(name: str, value: float, top: float) -> str:
    colour = ",".join(map(str, FOR if value > 0 else AGAINST))
    bar = f'<div style="background:rgb({colour});height:.8em;width:{abs(value) / top * 160:.0f}px"></div>'
    return (
        f'<tr><td style="padding:1px 8px">{escape(name)}</td>'
        f'<td style="padding:1px 8px;text-align:right">{value:+.3g}</td><td>{bar}</td></tr>'
    )
