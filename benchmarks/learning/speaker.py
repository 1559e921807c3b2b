"""A voice that the model never heard is corrected 250 times: what it learns, and what the known voices lose."""

from __future__ import annotations

import io
import sys
import zipfile

import numpy as np

from benchmarks.learning.data import voices
from benchmarks.learning.loop import NAIVE, Examples, Line, Loop, medians, seconds, trained
from lmaas import LMaaS

CORRECTIONS = 250


def _joined(parts: list[Examples]) -> Examples:
    return Examples([row for part in parts for row in part.rows], np.concatenate([part.labels for part in parts]))


def _folders(examples: Examples) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number, (row, label) in enumerate(zip(examples.rows, examples.labels, strict=True)):
            archive.writestr(f"{label}/{number}.wav", row)
    return stream.getvalue()


def _said(examples: Examples) -> Examples:
    """Return the examples with labels as a model of folders has them: words."""
    return Examples(examples.rows, examples.labels.astype(str))


def measure(client: LMaaS) -> list[Line]:
    """Return the lines of the unseen speaker; each seed leaves out another voice."""
    everyone = voices()
    names = sorted(everyone)

    def once(seed: int) -> list[float]:
        unseen = names[seed % len(names)]
        known = [everyone[name] for name in names if name != unseen]
        training = _joined([clips.take(np.flatnonzero(~test)) for clips, test in known])
        known_test = _said(_joined([clips.take(np.flatnonzero(test)) for clips, test in known]))
        voice = _said(everyone[unseen][0])
        order = np.random.default_rng(seed).permutation(len(voice))
        corrected, tested = voice.take(order[:CORRECTIONS]), voice.take(order[CORRECTIONS:])
        champion = trained(client, _folders(training), name=f"ear-{seed}", seed=seed)
        figures: list[float] = []
        for name, request in (("ours", {}), ("naive", NAIVE)):
            loop = Loop(client, champion, name=f"speaker-{name}-{seed}", seed=seed)
            before, known_before = loop.accuracy(tested), loop.accuracy(known_test)
            loop.correct(corrected)
            took = seconds(loop.update(**request))
            figures += [before, loop.accuracy(tested), known_before - loop.accuracy(known_test), took]
        sys.stderr.write(f"{unseen}: {[round(figure, 3) for figure in figures]}\n")
        return figures

    before, after, lost, took, _, naive, naive_lost, _ = medians(once)
    return [
        Line(
            f"a voice never heard, {CORRECTIONS} corrections",
            f"{before:.1%} -> {after:.1%}",
            ">= 95 %",
            f"{naive:.1%}",
            after >= 0.95,
        ),
        Line(
            "    what known voices lose",
            f"{100 * lost:.1f} points",
            "<= 2 points",
            f"{100 * naive_lost:.1f} points",
            lost <= 0.02,
        ),
        Line("    the update", f"{took:.1f} s", "<= 10 s", "", took <= 10),
    ]
