"""Feedback: what a prediction should have been, or how it was received."""

from typing import Annotated, Any, Literal

from pydantic import Field

from lmaas.types._wire import Metadata, WireObject, WireRequest

FeedbackKind = Literal["label", "rating", "preference", "demonstration", "metric", "comment"]


class FeedbackItem(WireRequest):
    """One statement about one row of a prediction."""

    id: Annotated[str, Field(pattern=r"^fb-[A-Za-z0-9_-]{1,64}$")] | None = None
    """Chosen by the caller, so that sending twice stores once."""
    prediction_id: str
    index: Annotated[int, Field(ge=0)] = 0
    """Which row of the prediction."""
    kind: FeedbackKind
    value: Any
    """label: the right class or value. rating: 1 or -1 (true and false too). preference: `{"over": prediction_id}`,
    the answer that this one is better than, of which `index` may name another row; or `{"chosen": text, "rejected":
    text}`. demonstration: the right text. metric: `{"name": ..., "value": number}`. comment: text."""
    weight: Annotated[float, Field(gt=0, le=1000)] | None = None
    source: Annotated[str, Field(max_length=128)] | None = None
    metadata: Metadata = {}


class FeedbackBatch(WireRequest):
    """Many items in one call: all are stored, or none; with `partial`, those that can be."""

    items: Annotated[list[FeedbackItem], Field(min_length=1, max_length=10_000)]
    partial: bool = False
    """Store what can be, and answer `{"error": {message, type, param, code}}` in the place of what cannot."""


class Feedback(WireObject):
    """A stored item of feedback."""

    id: str
    object: Literal["feedback"] | str = "feedback"
    prediction_id: str
    index: int
    kind: FeedbackKind | str
    value: Any
    weight: float
    source: str | None = None
    metadata: dict[str, str] = {}
    deployment: str
    model: str
    applied_in: str | None = None
    created_at: float
