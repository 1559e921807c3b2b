"""A deployment that is corrected: answers are given, people say what is right, an update learns it. Knows no data.

Everything goes through the SDK to a live server, with the defaults a caller gets. The naive method that stands beside
each figure is what most people write first: fine-tuning on the new rows alone, and serving whatever comes out.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lmaas import LMaaS
from lmaas.testing import MockServer
from lmaas.types import Gate, Job

SEEDS = (0, 1, 2)
GATE_SEEDS = (0, 1, 2, 3, 4)
NAIVE: dict[str, Any] = {"strategy": "finetune", "gate": Gate(enabled=False)}

Rows = Any
"""An array of inputs, or a list of them."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: the figure, the floor it must hold, what the naive method gives, and whether it holds."""

    what: str
    measured: str
    floor: str
    naive: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows with their labels."""

    rows: Rows
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: Sequence[int] | np.ndarray) -> Examples:
        """Return the chosen rows, in that order."""
        picked = self.rows[chosen] if isinstance(self.rows, np.ndarray) else [self.rows[index] for index in chosen]
        return Examples(picked, self.labels[chosen])

    def batches(self, size: int) -> Iterator[Examples]:
        """Cut into batches of `size` rows, in order."""
        for at in range(0, len(self), size):
            yield self.take(np.arange(at, min(at + size, len(self))))


class Loop:
    """One deployment of a model, served and corrected under a seed."""

    def __init__(self, client: LMaaS, model: str, *, name: str, seed: int) -> None:
        self._client = client
        self._seed = seed
        self._said = 0
        self.name = name
        client.deploy(model, name=name)

    def __repr__(self) -> str:
        return f"Loop({self.name!r}, {self._said} batches said)"

    def accuracy(self, examples: Examples) -> float:
        """Return the share of rows that what is served now has right."""
        answer = self._client.predict(self.name, examples.rows, store=False)
        return float(np.mean(np.array(answer.labels) == examples.labels))

    def correct(self, examples: Examples) -> None:
        """Ask for answers, and say of each row what is right."""
        answer = self._client.predict(self.name, examples.rows)
        self._client.feedback(answer, labels=examples.labels, idempotency_key=self._key())

    def rate(self, examples: Examples) -> None:
        """Ask for answers, and say of each only whether it is right."""
        answer = self._client.predict(self.name, examples.rows)
        thumbs = [1 if right else -1 for right in np.array(answer.labels) == examples.labels]
        self._client.feedback(answer, ratings=thumbs, idempotency_key=self._key())

    def update(self, **request: Any) -> Job:
        """Learn from what was said since the last promotion."""
        return self._client.jobs.wait(self._client.update(self.name, seed=self._seed, **request))

    def _key(self) -> str:
        """Return a key from which the ids of feedback follow, and with them which of it is held out."""
        self._said += 1
        return f"{self.name}-{self._seed}-{self._said}"


def seconds(job: Job) -> float:
    """Return how long a job ran."""
    return (job.finished_at or 0) - (job.started_at or 0)


def promoted(job: Job) -> bool:
    """Return whether an update was promoted."""
    return bool((job.result or {})["promoted"])


def server() -> MockServer:
    """Return a server whose jobs use both cores."""
    return MockServer(job_threads=2)


def trained(client: LMaaS, dataset: Any, *, name: str, **request: Any) -> str:
    """Train a model and return its id."""
    job = client.jobs.wait(client.train(dataset, name=name, **request))
    assert job.model is not None
    return job.model


def medians(once: Callable[[int], Sequence[float]], seeds: Sequence[int] = SEEDS) -> list[float]:
    """Return the median over seeds of each of the figures that `once` returns for a seed."""
    found = [once(seed) for seed in seeds]
    return [statistics.median(figures) for figures in zip(*found, strict=True)]


def table(title: str, lines: Sequence[Line]) -> str:
    """Return the lines as text, aligned, with a mark where a floor is given."""
    marks = {True: "ok", False: "MISSED", None: ""}
    cells = [("", "measured", "floor", "naive", "")]
    cells += [(line.what, line.measured, line.floor, line.naive, marks[line.met]) for line in lines]
    widths = [max(len(row[column]) for row in cells) for column in range(5)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join([title, "-" * len(title), *text, ""])
