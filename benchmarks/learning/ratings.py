"""Only thumbs arrive, up or down on the class that was shown: how much of what full labels teach they teach."""

from __future__ import annotations

from benchmarks.learning.loop import Line, Loop, medians
from benchmarks.learning.rotation import BATCH, CORRECTIONS, champion_of, stream
from lmaas import LMaaS

FLOOR = 0.90


def measure(client: LMaaS) -> list[Line]:
    """Return the line of the ratings; the same rows are rated and labelled, by the same seeds."""

    def once(seed: int) -> list[float]:
        drawn, champion = stream(seed), champion_of(client, seed)
        figures: list[float] = []
        for kind in ("labels", "ratings"):
            loop = Loop(client, champion, name=f"only-{kind}-{seed}", seed=seed)
            before = loop.accuracy(drawn.turned_test)
            for batch in drawn.turned.batches(BATCH):
                loop.correct(batch) if kind == "labels" else loop.rate(batch)
                loop.update()
            figures.append(loop.accuracy(drawn.turned_test) - before)
        return [*figures, figures[1] / figures[0]]

    labels, ratings, share = medians(once)
    return [
        Line(
            f"{CORRECTIONS:,} thumbs instead of labels, share of the gain",
            f"{share:.0%} ({100 * ratings:.1f} of {100 * labels:.1f} points)",
            f">= {FLOOR:.0%}",
            "",
            share >= FLOOR,
        )
    ]
