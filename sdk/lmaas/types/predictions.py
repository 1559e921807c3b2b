"""Predictions: what a deployment answered, kept so that feedback needs only an id."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lmaas.types._wire import Label, WireObject, WireRequest


class PredictionParameters(WireRequest):
    """How outputs are made and shown."""

    top_k: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Add the k likeliest classes with their scores as `top`."""
    probabilities: bool = False
    """Add the probability of every class, in the order of the model's classes."""


class PredictionRequest(WireRequest):
    """Rows to predict, each of the shape the model was trained on."""

    inputs: Annotated[list[Any], Field(min_length=1)]
    parameters: PredictionParameters = PredictionParameters()
    user: Annotated[str, Field(max_length=256)] | None = None
    """Whose request this is: the same user meets the same variant."""
    store: bool = True
    """Keep the inputs, so that feedback can be learned from."""


class RowError(WireObject):
    """Why one row could not be predicted, its neighbours notwithstanding."""

    code: str
    message: str


class ScoredLabel(WireObject):
    """A class with its probability."""

    label: Label
    score: float


class Output(WireObject):
    """The answer to one row: a label with its score, a value, or an error."""

    label: Label | None = None
    score: float | None = None
    probabilities: list[float] | None = None
    top: list[ScoredLabel] | None = None
    value: float | list[float] | None = None
    error: RowError | None = None


class Prediction(WireObject):
    """The answer to one request, row by row."""

    id: str
    object: Literal["prediction"] | str = "prediction"
    deployment: str
    model: str
    outputs: list[Output]
    created_at: float

    def __len__(self) -> int:
        return len(self.outputs)

    @property
    def labels(self) -> list[Label | None]:
        """The label of each row; None where the row has an error or the model gives values."""
        return [output.label for output in self.outputs]

    @property
    def scores(self) -> list[float | None]:
        """The probability of each row's label."""
        return [output.score for output in self.outputs]

    @property
    def values(self) -> list[float | list[float] | None]:
        """The value of each row, for a model of values."""
        return [output.value for output in self.outputs]

    @property
    def probabilities(self) -> list[list[float] | None]:
        """The probability of every class for each row, where they were asked for."""
        return [output.probabilities for output in self.outputs]
