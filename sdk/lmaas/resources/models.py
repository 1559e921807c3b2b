"""Models: trained versions in the registry, their weights and aliases. Knows no training and no transport."""

from __future__ import annotations

from typing import Generic, Literal, Unpack

from lmaas import types
from lmaas._encode import checked, encoded
from lmaas._flow import DriverT, Raw, Resource, call, call_bytes, endpoint
from lmaas._listing import Listing, list_query, listing
from lmaas._request import CallOptions, Flow, Request, query_of
from lmaas.resources._ids import ANY_CONTENT, JSON_CONTENT, ModelRef, model_id, segment


class Models(Resource[DriverT], Generic[DriverT]):
    """Versions of models, `NAME@VERSION`; an alias stands wherever an id does: `digits@champion`."""

    @property
    def with_raw_response(self) -> Models[Raw[DriverT]]:
        """The same methods, giving status, headers and body beside the value."""
        return Models(self.core.as_raw())

    @listing
    def list(
        self,
        *,
        name: str | None = None,
        alias: str | None = None,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        **options: Unpack[CallOptions],
    ) -> Listing[types.Model]:
        """List all versions, newest first, `limit` to a page; of one name, or those an alias points at."""
        query = list_query(after=after, limit=limit, order=order, name=name, alias=alias)
        return Listing("/v1/models", types.Page[types.Model], query, options)

    @endpoint
    def retrieve(self, model: ModelRef, **options: Unpack[CallOptions]) -> Flow[types.Model]:
        """Return the version; a bare name is its newest."""
        return call(Request("GET", _path(model), options=options), types.Model)

    @endpoint
    def delete(self, model: ModelRef, **options: Unpack[CallOptions]) -> Flow[types.Deleted]:
        """Delete the version and its weights.

        Raises:
            ConflictError: A deployment serves it.
        """
        return call(Request("DELETE", _path(model), options=options), types.Deleted)

    @endpoint
    def weights(self, model: ModelRef, **options: Unpack[CallOptions]) -> Flow[bytes]:
        """Return the weights as the bytes of a safetensors file."""
        return call_bytes(Request("GET", f"{_path(model)}/weights", headers=ANY_CONTENT, options=options))

    @endpoint
    def lineage(
        self, model: ModelRef, *, limit: int | None = None, **options: Unpack[CallOptions]
    ) -> Flow[types.Lineage]:
        """Return what the version was made from - job, dataset, feedback, parent - and its parent, back to the first.

        `print(client.models.lineage("digits@3"))` draws it as a tree. `client.feedback.list(applied="digits@3")` lists
        the feedback, and each item's `applied_in` leads back to the version.

        Args:
            model: The version, its id, or an alias.
            limit: How many versions at most, 1 to 1,000; omitted, 100.
            **options: extra_headers, timeout.
        """
        query = query_of(limit=limit)
        return call(Request("GET", f"{_path(model)}/lineage", query, options=options), types.Lineage)

    @endpoint
    def set_alias(self, name: str, alias: str, version: int, **options: Unpack[CallOptions]) -> Flow[types.Model]:
        """Point `NAME@ALIAS` at a version and return that version; an alias that exists moves."""
        body = encoded(checked(types.AliasSet, version=version))
        request = Request("PUT", _alias_path(name, alias), body=body, headers=JSON_CONTENT, options=options)
        return call(request, types.Model)

    @endpoint
    def delete_alias(self, name: str, alias: str, **options: Unpack[CallOptions]) -> Flow[types.Deleted]:
        """Remove the alias; the version it points at stays."""
        return call(Request("DELETE", _alias_path(name, alias), options=options), types.Deleted)


def _path(model: ModelRef) -> str:
    return f"/v1/models/{segment(model_id(model))}"


def _alias_path(name: str, alias: str) -> str:
    return f"/v1/models/{segment(name)}/aliases/{segment(alias)}"
