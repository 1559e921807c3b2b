"""An answer in steps: a generator that stops where rows are to be computed, or where what follows may take long.

Whoever runs it decides what that means. A thread of its own computes the rows with those of other threads and goes on
(`finished`); an event loop computes all that its turn has brought together, and lets a thread do what takes long.
Knows no HTTP, no network and no loop.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from lmaas_server.engine.data.examples import Array
from lmaas_server.engine.serving.batching import Batcher

__all__ = ["LENGTHY", "Lengthy", "Steps", "Together", "finished"]

AnswerT = TypeVar("AnswerT")


# Made for every prediction: freezing it would triple what that takes.
@dataclass(slots=True, eq=False)
class Together:
    """Rows to be computed, perhaps with those of others; (rows, ...) of answers are sent back."""

    batcher: Batcher
    compute: Callable[[Array], Array]
    rows: Array

    @property
    def light(self) -> bool:
        """Whether it is over before anybody would miss the thread that does it."""
        return self.batcher.is_light(len(self.rows))


@dataclass(frozen=True, slots=True)
class Lengthy:
    """What comes next waits, or works for long; None is sent back."""


LENGTHY = Lengthy()

Steps: TypeAlias = Generator[Together | Lengthy, Any, AnswerT]
"""Yields what it wants; returns the answer."""


def finished(steps: Steps[AnswerT], wanted: Together | Lengthy | None = None) -> AnswerT:
    """Run to the end in the calling thread; `wanted` is where another has stopped.

    Raises:
        Exception: What the steps, or the network, raised.
    """
    try:
        wanted = wanted or next(steps)
        while True:
            if isinstance(wanted, Lengthy):
                wanted = steps.send(None)
                continue
            try:
                found = wanted.batcher.run(wanted.compute, wanted.rows)
            except Exception as exc:  # noqa: BLE001 - whatever it was is for who asked
                wanted = steps.throw(exc)
            else:
                wanted = steps.send(found)
    except StopIteration as end:
        answer: AnswerT = end.value
        return answer
