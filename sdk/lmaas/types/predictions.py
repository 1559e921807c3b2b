"""Predictions: what a deployment answered, kept so that feedback needs only an id."""

from typing import Annotated, Any, Literal

from pydantic import Field

from lmaas.types._wire import Label, WireObject, WireRequest


class PredictionParameters(WireRequest):
    """How outputs are made and shown."""

    top_k: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Add the k likeliest classes with their scores as `top`."""
    probabilities: bool = False
    """Add the probability of every class, in the order of the model's classes."""
    max_tokens: Annotated[int, Field(ge=1, le=131_072)] | None = None
    """Of text: how long an answer may become; omitted, 128, or what the context leaves."""
    temperature: Annotated[float, Field(ge=0, le=10)] | None = None
    """Of text: 0 takes the likeliest token every time; omitted, 1. `top_k` keeps the k likeliest tokens."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Of text: keep the likeliest tokens that together have this probability (Holtzman et al., 2020)."""
    stop: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(strict=False, max_length=16)] = ()
    """Of text: the answer ends before the first of these."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Of text: the same seed draws the same answer, whatever else is answered at the time."""
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    """Of text: add the log-probability of every token, and of so many of the likeliest in its place."""


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


class TokenChance(WireObject):
    """A token with its log-probability."""

    token: str
    logprob: float


class GeneratedToken(TokenChance):
    """A token of an answer, and the likeliest in its place."""

    top: list[TokenChance] = []


class Output(WireObject):
    """The answer to one row: a label with its score, a value, a text, or an error."""

    label: Label | None = None
    score: float | None = None
    probabilities: list[float] | None = None
    top: list[ScoredLabel] | None = None
    labels: list[Label] | None = None
    """Of a model that gives several classes a row: those with a probability of a half or more, likeliest first."""
    scores: list[float] | None = None
    """The probability of each of `labels`."""
    value: float | list[float] | None = None
    text: str | None = None
    finish_reason: Literal["stop", "length", "cancelled"] | str | None = None
    """Why a text ended: by itself or at a stop string, at its greatest length, or because nobody read on."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    logprobs: list[GeneratedToken] | None = None
    error: RowError | None = None


class TextPiece(WireObject):
    """What a stream of text says on its way: more of the answer to one row."""

    index: int = 0
    text: str


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
    def label_sets(self) -> list[list[Label] | None]:
        """The labels of each row, for a model that gives several classes a row."""
        return [output.labels for output in self.outputs]

    @property
    def scores(self) -> list[float | None]:
        """The probability of each row's label."""
        return [output.score for output in self.outputs]

    @property
    def values(self) -> list[float | list[float] | None]:
        """The value of each row, for a model of values."""
        return [output.value for output in self.outputs]

    @property
    def texts(self) -> list[str | None]:
        """The text of each row, for a language model."""
        return [output.text for output in self.outputs]

    @property
    def probabilities(self) -> list[list[float] | None]:
        """The probability of every class for each row, where they were asked for."""
        return [output.probabilities for output in self.outputs]
