"""A request for predictions and its answer, as the services see them. Knows no HTTP and no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lmaas.types import PredictionParameters
from lmaas_server.records import Json
from lmaas_server.services.npy import Array

__all__ = ["Asked", "Predicted"]


_USUAL = PredictionParameters()


# Made for every prediction: freezing it would triple what that takes.
@dataclass(slots=True, kw_only=True)
class Asked:
    """A request for predictions."""

    rows: Sequence[Any] | Array
    raw: bytes
    """The body as it came, which is what the log keeps."""
    media: str
    parameters: PredictionParameters = _USUAL
    user: str | None = None
    store: bool = True
    as_array: bool = False
    """Answer with probabilities or values as one array."""
    request_id: str = ""
    request_key: str | None = None
    fingerprint: str = ""


# Made for every prediction: freezing it would triple what that takes.
@dataclass(slots=True, kw_only=True)
class Predicted:
    """The answer to one request."""

    id: str
    deployment: str
    model: str
    outputs: list[Json]
    created_at: float
    array: Array | None = None
    replayed: bool = False

    @property
    def size(self) -> int:
        """About what this takes of memory."""
        return 300 * len(self.outputs) + (0 if self.array is None else self.array.nbytes)
