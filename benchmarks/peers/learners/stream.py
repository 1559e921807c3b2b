"""The digits that a learner is given, and what it prints of itself. Knows numpy alone: it runs in every environment."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Stream", "report"]

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Digits of 784 pixels from 0 to 1 in float32, with their labels."""

    upright: tuple[Array, Array]
    """What the champion is trained on."""
    turned: tuple[Array, Array]
    """The corrections, in order."""
    upright_test: tuple[Array, Array]
    turned_test: tuple[Array, Array]

    @classmethod
    def read(cls, path: str, *, tested: int | None = None) -> Stream:
        """Read what `write` wrote, of each test the first so many rows."""
        most = {"upright_test": tested, "turned_test": tested}
        with np.load(path) as file:
            parts = {name: [file[f"{name}.{xy}"][: most.get(name)] for xy in "xy"] for name in cls.__slots__}
        return cls(**{name: (x, y) for name, (x, y) in parts.items()})

    def write(self, path: Path) -> None:
        """Write it to a file."""
        parts = [(name, getattr(self, name)) for name in self.__slots__]
        np.savez(path, **{f"{name}.{xy}": array for name, pair in parts for xy, array in zip("xy", pair, strict=True)})


def report(stream: Stream, answers: Callable[[Array], Array], learn: Callable[[], None]) -> None:
    """Learn, and print as JSON how long it took by the clock and the processor, and what of the tests was right."""

    def right() -> dict[str, float]:
        tests = {"turned": stream.turned_test, "upright": stream.upright_test}
        return {name: float((answers(x) == y).mean()) for name, (x, y) in tests.items()}

    before = right()
    began = time.perf_counter(), time.process_time()
    learn()
    seconds, worked = time.perf_counter() - began[0], time.process_time() - began[1]
    print(json.dumps({"seconds": seconds, "worked": worked, "before": before, "after": right()}))
