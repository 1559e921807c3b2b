"""The floors of learning from preferences, as `benchmarks.preferences` measures them, in this table. Knows no model."""

from __future__ import annotations

from benchmarks import preferences
from benchmarks.learning.data import DATA, needed
from benchmarks.learning.loop import Line
from lmaas import LMaaS


def measure(_: LMaaS) -> list[Line]:
    """Return its rows as lines; it runs a server of its own."""
    needed(DATA / "lm" / "stories_preference_pairs.jsonl.gz")
    return [Line(row.what, row.figure, row.target, "", row.met) for row in preferences.measure()[1]]
