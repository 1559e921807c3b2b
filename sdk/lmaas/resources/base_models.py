"""Base models: pretrained language models of the server that can be fine-tuned. Knows no training and no transport."""

from __future__ import annotations

from typing import Generic, Literal, Unpack

from lmaas import types
from lmaas._flow import DriverT, Raw, Resource, call, endpoint
from lmaas._listing import Listing, list_query, listing
from lmaas._request import CallOptions, Flow, Request
from lmaas.resources._ids import segment


class BaseModels(Resource[DriverT], Generic[DriverT]):
    """What a language model can start from: `client.train(..., base_model="stories-260k")`."""

    @property
    def with_raw_response(self) -> BaseModels[Raw[DriverT]]:
        """The same methods, giving status, headers and body beside the value."""
        return BaseModels(self.core.as_raw())

    @listing
    def list(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        **options: Unpack[CallOptions],
    ) -> Listing[types.BaseModelInfo]:
        """List all base models by name, `limit` to a page; one that the server refuses says why."""
        query = list_query(after=after, limit=limit, order=order)
        return Listing("/v1/base-models", types.Page[types.BaseModelInfo], query, options)

    @endpoint
    def retrieve(self, name: str, **options: Unpack[CallOptions]) -> Flow[types.BaseModelInfo]:
        """Return the base model of that name."""
        return call(Request("GET", f"/v1/base-models/{segment(name)}", options=options), types.BaseModelInfo)
