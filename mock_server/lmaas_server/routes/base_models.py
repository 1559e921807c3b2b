"""Base models over HTTP."""

from __future__ import annotations

from typing import Any

from lmaas.types import BaseModelInfo
from lmaas_server.http.operation import Call, operation
from lmaas_server.http.paging import list_of
from lmaas_server.routes.slicing import sliced
from lmaas_server.services.pretrained import PretrainedService

__all__ = ["BaseModelRoutes"]


class BaseModelRoutes:
    """Endpoints of `/v1/base-models`."""

    def __init__(self, pretrained: PretrainedService) -> None:
        self._pretrained = pretrained

    def __repr__(self) -> str:
        return f"BaseModelRoutes({self._pretrained!r})"

    @operation(
        "GET", "/v1/base-models", tag="models", answer=BaseModelInfo, listed=True, order="asc", errors=(404, 422)
    )
    def list(self, call: Call) -> dict[str, Any]:
        """List the pretrained language models that can be fine-tuned; one that is refused says why."""
        items, more = sliced(self._pretrained.all()[::-1], call.page)
        return list_of(items, has_more=more)

    @operation("GET", "/v1/base-models/<base_model>", tag="models", answer=BaseModelInfo, errors=(404,))
    def retrieve(self, call: Call, base_model: str) -> BaseModelInfo:
        """Get a pretrained language model."""
        return self._pretrained.get(base_model)
