"""Trees drawn as text, for terminals; knows no noun. Plain characters where the terminal's encoding has no others."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

_PLAIN = str.maketrans({"├": "|", "└": "`", "│": "|", "─": "-", "·": "-", "→": ">", "★": "*", "✝": "x"})
_SPECIAL = "├└│─·→★✝"


@dataclass(frozen=True, slots=True)
class Branch:
    """A line of text, and what hangs from it."""

    text: str
    children: list[Branch] = field(default_factory=list["Branch"])


def drawn(root: Branch, *, plain: bool | None = None) -> str:
    """Return the tree as lines of text.

    Args:
        root: What is drawn.
        plain: Whether to draw with ASCII alone; omitted, as what stands on standard output can be encoded.
    """
    text = "\n".join(_lines(root))
    return text.translate(_PLAIN) if (_is_poor() if plain is None else plain) else text


def _lines(branch: Branch) -> Iterator[str]:
    yield branch.text
    for place, child in enumerate(branch.children):
        last = place == len(branch.children) - 1
        first, others = ("└── ", "    ") if last else ("├── ", "│   ")
        head, *rest = _lines(child)
        yield first + head
        yield from (others + line for line in rest)


def _is_poor() -> bool:
    """Return whether standard output cannot show the characters that trees are drawn with."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        _SPECIAL.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return True
    return False
