"""What exists: architectures, tasks, losses and metrics, as tables. Imports no torch.

A new architecture is a file under `architectures/` and a line here; the contract test then runs over it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmaas.types import (
    CNN,
    MLP,
    MSE,
    AudioCNN,
    BinaryCrossEntropy,
    CrossEntropy,
    TabularMLP,
    TextEncoder,
    WireRequest,
)
from lmaas_server.engine.architectures import audio_cnn, cnn, mlp, tabular_mlp, text_encoder

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained where the request does not say: found on validation rows of the benchmarks' data."""

    epochs: int = 10
    learning_rate: float = 0.001
    batch_size: int | None = None
    """None: by the number of rows."""
    least_steps: int = 0
    """Few rows are gone through as often as it takes to make so many steps."""
    threads: int | None = None
    """The most that help: a step of a small network is over before a second thread is awake (Adult: 0.9 s for three
    epochs with one thread, 2.7 s with two)."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network that can be asked for; all but `build` work without torch."""

    config: type[WireRequest]
    check: Callable[[Any, Shape], None]
    parameters: Callable[[Any, Shape, int], int]
    units: Callable[[Any, Shape, int], int]
    build: Callable[[Any, Shape, int], nn.Module]
    inputs: tuple[str, ...] = ("tensor", "image")
    """Kinds of inputs it takes."""
    recipe: Recipe = Recipe()


@dataclass(frozen=True, slots=True)
class Task:
    """What a model can be asked to learn."""

    target: str
    losses: tuple[str, ...]
    default_loss: Callable[[], CrossEntropy | BinaryCrossEntropy | MSE]
    epoch_metrics: dict[str, bool]
    """Measured on the validation rows after every epoch; whether more is better."""
    multiple: bool = False
    """Whether a row has any number of classes."""
    haste: float = 1.0
    """Times the recipe's learning rate: of many yes-or-nos each has few rows that say yes (DBpedia's classes and
    groups of them, 6,000 rows: micro-F1 .84 at 1, .90 at 3)."""


ARCHITECTURES: dict[str, Architecture] = {
    "audio_cnn": Architecture(
        AudioCNN,
        audio_cnn.check,
        audio_cnn.parameters,
        audio_cnn.units,
        audio_cnn.build,
        inputs=("audio",),
        recipe=Recipe(epochs=8, learning_rate=0.002, batch_size=32, least_steps=400, threads=1),
    ),
    "mlp": Architecture(MLP, mlp.check, mlp.parameters, mlp.units, mlp.build),
    "cnn": Architecture(
        CNN,
        cnn.check,
        cnn.parameters,
        cnn.units,
        cnn.build,
        recipe=Recipe(epochs=4, learning_rate=0.002, least_steps=1200),
    ),
    "tabular_mlp": Architecture(
        TabularMLP,
        tabular_mlp.check,
        tabular_mlp.parameters,
        tabular_mlp.units,
        tabular_mlp.build,
        inputs=("table",),
        recipe=Recipe(epochs=12, batch_size=128, least_steps=1000, threads=1),
    ),
    "text_encoder": Architecture(
        TextEncoder,
        text_encoder.check,
        text_encoder.parameters,
        text_encoder.units,
        text_encoder.build,
        inputs=("text",),
        recipe=Recipe(epochs=6, learning_rate=0.003, batch_size=64, least_steps=400, threads=1),
    ),
}

TASKS: dict[str, Task] = {
    "classification": Task("class", ("cross_entropy",), CrossEntropy, {"loss": False, "accuracy": True}),
    "multilabel_classification": Task(
        "class",
        ("binary_cross_entropy",),
        BinaryCrossEntropy,
        {"loss": False, "accuracy": True, "micro_f1": True},
        multiple=True,
        haste=3.0,
    ),
    "regression": Task("value", ("mse", "mae", "huber"), MSE, {"loss": False, "mae": False, "rmse": False, "r2": True}),
}

OPTIMIZER_STATES: dict[str, int] = {"adam": 2, "adamw": 2, "sgd": 1, "rmsprop": 2}
"""How many numbers an optimizer keeps for each weight."""
