"""Learning rates as functions of the step: no state, so a resumed run continues where it was. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lmaas.types import Schedule

Rate = Callable[[int], float]
"""From the number of steps already taken to the learning rate of the next."""

_CYCLE_START, _CYCLE_END = 25.0, 1e4
"""One-cycle climbs from max_lr / 25 and ends at a 10,000th of that (Smith and Topin, 2018; torch's defaults)."""


def _constant(spec: Any, lr: float, steps: int, _: int) -> Rate:
    return _warmed(lambda _share: lr, spec.warmup, steps)


def _cosine(spec: Any, lr: float, steps: int, _: int) -> Rate:
    def rate(share: float) -> float:
        return lr * float(spec.final + (1 - spec.final) * 0.5 * (1 + math.cos(math.pi * share)))

    return _warmed(rate, spec.warmup, steps)


def _linear(spec: Any, lr: float, steps: int, _: int) -> Rate:
    return _warmed(lambda share: lr * (1 - (1 - spec.final) * share), spec.warmup, steps)


def _step(spec: Any, lr: float, _: int, steps_per_epoch: int) -> Rate:
    return lambda step: float(lr * spec.gamma ** (step // (spec.epochs * steps_per_epoch)))


def _one_cycle(spec: Any, _: float, steps: int, __: int) -> Rate:
    low, high, end = spec.max_lr / _CYCLE_START, spec.max_lr, spec.max_lr / _CYCLE_START / _CYCLE_END
    top = max(1.0, spec.warmup * steps - 1)

    def rate(step: int) -> float:
        if step <= top:
            return _between(low, high, step / top)
        return _between(high, end, min(1.0, (step - top) / max(1.0, steps - 1 - top)))

    return rate


def _between(first: float, last: float, share: float) -> float:
    return float(last + (first - last) / 2 * (1 + math.cos(math.pi * share)))


def _warmed(rate: Callable[[float], float], warmup: float, steps: int) -> Rate:
    climb = round(warmup * steps)
    rest = max(1, steps - climb)

    def warmed(step: int) -> float:
        return rate(0.0) * (step + 1) / climb if step < climb else rate((step - climb) / rest)

    return warmed


SCHEDULES: dict[str, Callable[[Any, float, int, int], Rate]] = {
    "constant": _constant,
    "cosine": _cosine,
    "linear": _linear,
    "one_cycle": _one_cycle,
    "step": _step,
}


def build_schedule(spec: Schedule, *, lr: float, steps: int, steps_per_epoch: int) -> Rate:
    """Return the learning rate of every step; `lr` is the optimizer's, which one_cycle replaces by its `max_lr`."""
    return SCHEDULES[spec.type](spec, lr, steps, steps_per_epoch)
