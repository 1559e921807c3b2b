"""Shadows: versions that are asked what was asked, after the answer is given, and compared with it. They answer nobody.

    answer -> a line for each shadow, bounded -> the shadow's thread -> what it says -> compared -> the observer

Whoever answers puts the question into a line and goes on. Where the line is full, the question is counted as dropped.
What a shadow takes long for, or cannot do, is seen in its own figures and nowhere else. Knows no HTTP and no route.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import perf_counter

from lmaas_server.records import Json
from lmaas_server.services.agreement import Agreement, of_arrays, of_outputs
from lmaas_server.services.answers import Asked, Predicted
from lmaas_server.services.npy import Array
from lmaas_server.services.observing import Observer
from lmaas_server.services.predictors import Predictors

__all__ = ["Shadows"]

logger = logging.getLogger("lmaas_server")

_MAX_BYTES = 32 * 2**20
"""What the questions that wait for one shadow may take of memory."""
_IDLE_SECONDS = 10.0
"""How long a shadow's thread waits for the next question before it ends."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What was asked and answered."""

    asked: Asked
    model: str
    """The version that answered."""
    outputs: list[Json]
    array: Array | None

    @property
    def size(self) -> int:
        return len(self.asked.raw) + (0 if self.array is None else self.array.nbytes)


@dataclass(slots=True)
class _Line:
    """What waits for one shadow of one deployment."""

    deployment: str
    model: str
    came: threading.Condition
    waiting: deque[_Question] = field(default_factory=deque)
    bytes: int = 0
    complained: bool = False


class Shadows:
    """Asks shadows, each in a thread of its own that lives while there is something to ask."""

    def __init__(self, *, predictors: Predictors, observer: Observer, most: int) -> None:
        """`most` questions may wait for one shadow."""
        self._predictors = predictors
        self._observer = observer
        self._most = most
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._lines: dict[tuple[str, str], _Line] = {}
        self._unsettled = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"Shadows({len(self._lines)} lines, {self._unsettled} questions)"

    def show(self, models: Iterable[str], asked: Asked, answer: Predicted) -> None:
        """Have the shadows of a deployment asked what it was asked; returns at once."""
        question = _Question(asked, answer.model, answer.outputs, answer.array)
        for model in models:
            if not self._add(answer.deployment, model, question):
                self._observer.dropped(answer.deployment, model)

    def settle(self, timeout: float) -> bool:
        """Wait until every shadow has been asked all there was; False if that takes longer."""
        with self._settled:
            return self._settled.wait_for(lambda: not self._unsettled, timeout)

    def close(self) -> None:
        """Ask no more; what waits is forgotten."""
        with self._lock:
            self._closed = True
            for line in self._lines.values():
                self._unsettled -= len(line.waiting)
                line.waiting.clear()
                line.came.notify()
            self._settled.notify_all()

    def _add(self, deployment: str, model: str, question: _Question) -> bool:
        key = (deployment, model)
        with self._lock:
            if self._closed:
                return False
            if (line := self._lines.get(key)) is None:
                line = self._lines[key] = _Line(deployment, model, threading.Condition(self._lock))
                threading.Thread(target=self._run, args=(line,), name=f"shadow {model}", daemon=True).start()
            elif line.waiting and (len(line.waiting) >= self._most or line.bytes + question.size > _MAX_BYTES):
                return False
            line.waiting.append(question)
            line.bytes += question.size
            self._unsettled += 1
            line.came.notify()
        return True

    def _run(self, line: _Line) -> None:
        while (question := self._next(line)) is not None:
            try:
                self._ask(line, question)
            except Exception:
                self._observer.failed(line.deployment, line.model, role="shadow")
                if not line.complained:  # once: a shadow that is broken is broken for every request
                    logger.warning("the shadow %s of %s fails", line.model, line.deployment, exc_info=True)
                    line.complained = True
            with self._settled:
                self._unsettled -= 1
                self._settled.notify_all()

    def _next(self, line: _Line) -> _Question | None:
        """Wait for a question; None once there was none for a while, and then the line is gone."""
        with self._lock:
            line.came.wait_for(lambda: line.waiting or self._closed, _IDLE_SECONDS)
            if not line.waiting:
                self._lines.pop((line.deployment, line.model), None)
                return None
            question = line.waiting.popleft()
            line.bytes -= question.size
            return question

    def _ask(self, line: _Line, question: _Question) -> None:
        predictor = self._predictors.get(line.model)
        asked, began = question.asked, perf_counter()
        if question.array is not None:
            array, errors = predictor.arrays(asked.rows)
            seconds = perf_counter() - began
            self._observer.predicted(
                line.deployment,
                line.model,
                role="shadow",
                rows=len(array),
                row_errors=len(errors),
                seconds=seconds,
                confidences=(),
            )
            classes = self._predictors.get(question.model).classes
            found = of_arrays(question.array, array, classes=classes, shadow_classes=predictor.classes)
        else:
            outputs = predictor.answer(asked.rows, asked.parameters)
            seconds = perf_counter() - began
            self._observer.answered(line.deployment, line.model, role="shadow", outputs=outputs, seconds=seconds)
            found = of_outputs(question.outputs, outputs) if _is_comparable(asked, question.outputs) else Agreement()
        if found.compared or found.measured:
            self._observer.agreed(line.deployment, line.model, **found._asdict())


def _is_comparable(asked: Asked, outputs: list[Json]) -> bool:
    """Whether the same version would answer the same: a text that was drawn by chance, or cut off, compares to none."""
    if not any("text" in output for output in outputs):
        return True
    drawn = asked.parameters.temperature != 0 and asked.parameters.seed is None
    return not drawn and all(output.get("finish_reason") != "cancelled" for output in outputs)
