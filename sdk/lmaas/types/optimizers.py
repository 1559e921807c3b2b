"""Optimizers, learning-rate schedules and losses a training request may ask for, told apart by `type`."""

from typing import Annotated, Literal

from pydantic import Field

from lmaas.types._wire import WireRequest

LearningRate = Annotated[float, Field(gt=0, le=10)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0)]
Betas = Annotated[tuple[Fraction, Fraction], Field(strict=False)]


class Adam(WireRequest):
    """Adam (Kingma and Ba, 2015)."""

    type: Literal["adam"] = "adam"
    lr: LearningRate = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8


class AdamW(WireRequest):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    type: Literal["adamw"] = "adamw"
    lr: LearningRate = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: NonNegative = 0.01


class SGD(WireRequest):
    """Stochastic gradient descent with momentum."""

    type: Literal["sgd"] = "sgd"
    lr: LearningRate = 0.1
    momentum: Fraction = 0.9
    nesterov: bool = False
    weight_decay: NonNegative = 0.0


class RMSprop(WireRequest):
    """RMSprop (Tieleman and Hinton, 2012)."""

    type: Literal["rmsprop"] = "rmsprop"
    lr: LearningRate = 1e-3
    alpha: Fraction = 0.99
    eps: Annotated[float, Field(gt=0)] = 1e-8
    momentum: Fraction = 0.0
    weight_decay: NonNegative = 0.0


Optimizer = Annotated[Adam | AdamW | SGD | RMSprop, Field(discriminator="type")]


class ConstantSchedule(WireRequest):
    """The optimizer's learning rate, unchanged, after an optional linear warm-up."""

    type: Literal["constant"] = "constant"
    warmup: Fraction = 0.0
    """Share of all steps over which the rate climbs linearly from 0."""


class CosineSchedule(WireRequest):
    """Half a cosine from the optimizer's learning rate down to `final` times it (Loshchilov and Hutter, 2017)."""

    type: Literal["cosine"] = "cosine"
    warmup: Fraction = 0.0
    final: Annotated[float, Field(ge=0, le=1)] = 0.0


class LinearSchedule(WireRequest):
    """A straight line from the optimizer's learning rate down to `final` times it."""

    type: Literal["linear"] = "linear"
    warmup: Fraction = 0.0
    final: Annotated[float, Field(ge=0, le=1)] = 0.0


class StepSchedule(WireRequest):
    """The learning rate times `gamma` after every `epochs` epochs."""

    type: Literal["step"] = "step"
    epochs: Annotated[int, Field(ge=1)] = 10
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1


class OneCycle(WireRequest):
    """One climb to `max_lr` and a long way down (Smith and Topin, 2018); the fastest road on few epochs."""

    type: Literal["one_cycle"] = "one_cycle"
    max_lr: LearningRate = 3e-3
    warmup: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of all steps spent climbing."""


Schedule = Annotated[
    ConstantSchedule | CosineSchedule | LinearSchedule | StepSchedule | OneCycle, Field(discriminator="type")
]


class CrossEntropy(WireRequest):
    """The loss of classification: minus the log-probability of the right class."""

    type: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Fraction = 0.0
    balanced: bool = False
    """Weigh every class by the inverse of its share of the training rows."""


class BinaryCrossEntropy(WireRequest):
    """The loss of several classes a row: each class is a yes or no of its own."""

    type: Literal["binary_cross_entropy"] = "binary_cross_entropy"


class MSE(WireRequest):
    """Mean squared error, on targets standardised over the training rows."""

    type: Literal["mse"] = "mse"


class MAE(WireRequest):
    """Mean absolute error, on targets standardised over the training rows."""

    type: Literal["mae"] = "mae"


class Huber(WireRequest):
    """Squared near zero and linear beyond `delta` standard deviations of the target: robust to outliers."""

    type: Literal["huber"] = "huber"
    delta: Annotated[float, Field(gt=0)] = 1.0


Loss = Annotated[CrossEntropy | BinaryCrossEntropy | MSE | MAE | Huber, Field(discriminator="type")]
