"""Explanations over HTTP: rows as JSON, and how much each part of them has to do with the answer."""

from __future__ import annotations

from typing import Any

from lmaas.types import Explanation, ExplanationRequest
from lmaas_server.http.operation import Call, operation
from lmaas_server.services.explaining import ExplainingService

__all__ = ["ExplanationRoutes"]


class ExplanationRoutes:
    """Endpoints of explanations."""

    def __init__(self, explaining: ExplainingService) -> None:
        self._explaining = explaining

    def __repr__(self) -> str:
        return f"ExplanationRoutes({self._explaining!r})"

    @operation(
        "POST",
        "/v1/deployments/<deployment>/explanations",
        tag="explanations",
        body=ExplanationRequest,
        answer=Explanation,
        errors=(404, 409, 422, 503),
    )
    def create(self, call: Call, deployment: str) -> dict[str, Any]:
        """Explain rows: attributions shaped like each of them, for the likeliest class or the one that is named.

        Integrated gradients add up: the sum of the attributions is what the output of the row has over that of the
        baseline, but for `delta`. A row that cannot be predicted has its error in its place.
        """
        explained = self._explaining.explain(
            deployment, call.body, request_id=call.request_id, request_key=call.request_key
        )
        return {
            "id": explained.id,
            "object": "explanation",
            "deployment": explained.deployment,
            "model": explained.model,
            "method": explained.method,
            "outputs": explained.outputs,
            "created_at": explained.created_at,
        }
