"""What exists: architectures, tasks, losses and metrics, as tables. Imports no torch.

A new architecture is a file under `architectures/` and a line here; the contract test then runs over it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmaas.types import CNN, MLP, MSE, CrossEntropy, WireRequest
from lmaas_server.engine.architectures import cnn, mlp

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network that can be asked for; all but `build` work without torch."""

    config: type[WireRequest]
    check: Callable[[Any, Shape], None]
    parameters: Callable[[Any, Shape, int], int]
    units: Callable[[Any, Shape, int], int]
    build: Callable[[Any, Shape, int], nn.Module]


@dataclass(frozen=True, slots=True)
class Task:
    """What a model can be asked to learn."""

    target: str
    losses: tuple[str, ...]
    default_loss: Callable[[], CrossEntropy | MSE]
    epoch_metrics: dict[str, bool]
    """Measured on the validation rows after every epoch; whether more is better."""


ARCHITECTURES: dict[str, Architecture] = {
    "mlp": Architecture(MLP, mlp.check, mlp.parameters, mlp.units, mlp.build),
    "cnn": Architecture(CNN, cnn.check, cnn.parameters, cnn.units, cnn.build),
}

TASKS: dict[str, Task] = {
    "classification": Task("class", ("cross_entropy",), CrossEntropy, {"loss": False, "accuracy": True}),
    "regression": Task("value", ("mse", "mae", "huber"), MSE, {"loss": False, "mae": False, "rmse": False, "r2": True}),
}

OPTIMIZER_STATES: dict[str, int] = {"adam": 2, "adamw": 2, "sgd": 1, "rmsprop": 2}
"""How many numbers an optimizer keeps for each weight."""
