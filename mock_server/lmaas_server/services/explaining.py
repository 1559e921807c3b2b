"""Explanations: a version of a deployment says why it answers as it does. Knows no HTTP and no method.

Nothing is kept: an explanation follows from the version and the rows, and can be asked for again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lmaas.types import ExplanationRequest
from lmaas_server.errors import InvalidError
from lmaas_server.records import Json, new_id
from lmaas_server.services.predictors import Predictors
from lmaas_server.services.routing import RoutingTable, check_ready

__all__ = ["Explained", "ExplainingService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The answer to one request."""

    id: str
    deployment: str
    model: str
    method: str
    outputs: list[Json]
    created_at: float


class ExplainingService:
    """Explains what deployments answer."""

    def __init__(self, *, routes: RoutingTable, predictors: Predictors, clock: Callable[[], float]) -> None:
        self._routes = routes
        self._predictors = predictors
        self._clock = clock

    def __repr__(self) -> str:
        return f"ExplainingService({self._routes!r})"

    def explain(
        self, deployment: str, request: ExplanationRequest, *, request_id: str, request_key: str | None = None
    ) -> Explained:
        """Explain every row; one that cannot be predicted has its error in its place.

        Raises:
            MissingError: `deployment_not_found`.
            UnavailableError: `deployment_starting`.
            ConflictError: `deployment_failed`, `deployment_stopped`.
            InvalidError: `explanation_unsupported`, the model is none that can be explained; `target_unknown`;
                `shape_mismatch` or another code of a row, where no row can be predicted.
        """
        route = self._routes.get(deployment)
        check_ready(route)
        id = new_id("exp", request_key)
        model = route.choose(request.user or request_id or id)
        predictor = self._predictors.get(model)
        # Here and not above: Captum takes a second to import, and brings torch along.
        from lmaas_server.engine.serving.explain import explain

        outputs = explain(predictor, request.inputs, target=request.target, method=request.method)
        _refuse_if_all_are_bad(outputs)
        return Explained(
            id=id,
            deployment=deployment,
            model=model,
            method=request.method,
            outputs=outputs,
            created_at=self._clock(),
        )


def _refuse_if_all_are_bad(outputs: list[Json]) -> None:
    errors = [output["error"] for output in outputs if "error" in output]
    if len(errors) == len(outputs):
        raise InvalidError(errors[0]["message"], code=errors[0]["code"], param="inputs[0]")
