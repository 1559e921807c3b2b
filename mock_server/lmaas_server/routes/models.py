"""Model versions over HTTP."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lmaas.types import AliasSet, Deleted, Lineage, Model
from lmaas_server.errors import InvalidError
from lmaas_server.http.files import file_response
from lmaas_server.http.operation import Call, operation
from lmaas_server.http.paging import Query, list_of
from lmaas_server.records import ModelRecord
from lmaas_server.routes.names import is_name
from lmaas_server.services.lineage import Ancestor
from lmaas_server.services.models import ModelService

__all__ = ["ModelRoutes"]

_FILTERS = (
    Query(name="name", about="Only versions of this model."),
    Query(name="alias", about="Only versions this alias points at."),
)
_VERSIONS = 100
_DEPTH = (
    Query(name="limit", about=f"How many versions at most; {_VERSIONS} if omitted.", kind="integer", low=1, high=1000),
)


class ModelRoutes:
    """Endpoints of `/v1/models`."""

    def __init__(self, models: ModelService) -> None:
        self._models = models

    def __repr__(self) -> str:
        return f"ModelRoutes({self._models!r})"

    @operation("GET", "/v1/models", tag="models", answer=Model, listed=True, query=_FILTERS, errors=(404, 422))
    def list(self, call: Call) -> dict[str, Any]:
        """List the versions of models."""
        page = self._models.page(call.page, name=call.query.get("name"), alias=call.query.get("alias"))
        return list_of([_wire(record) for record in page.items], has_more=page.has_more)

    @operation("GET", "/v1/models/<model>", tag="models", answer=Model, errors=(404,))
    def retrieve(self, call: Call, model: str) -> Model:
        """Get a version: `NAME@VERSION`, `NAME@ALIAS`, or `NAME` for the newest."""
        return _wire(self._models.get(model))

    @operation("DELETE", "/v1/models/<model>", tag="models", answer=Deleted, errors=(404, 409))
    def delete(self, call: Call, model: str) -> Deleted:
        """Delete a version; its number is never given again."""
        record = self._models.delete(model)
        return Deleted(id=record.id, object="model", deleted=True)

    @operation("GET", "/v1/models/<model>/weights", tag="models", gives=("application/octet-stream",), errors=(404,))
    def weights(self, call: Call, model: str) -> Any:
        """Get the weights of a version as a safetensors file."""
        record, path = self._models.weights(model)
        name = f"{record.name}-{record.version}.safetensors"
        return file_response(call.request, path, name=name, sha256=record.sha256)

    @operation("GET", "/v1/models/<model>/lineage", tag="models", answer=Lineage, query=_DEPTH, errors=(404, 422))
    def lineage(self, call: Call, model: str) -> Lineage:
        """Get what a version was made from: job, dataset, feedback and parent, and the parent's, back to the first."""
        ancestors = self._models.lineage(model, limit=call.query.get("limit", _VERSIONS))
        last = ancestors[-1]
        has_more = last.parent is not None and last.parent not in {ancestor.id for ancestor in ancestors}
        versions = [_ancestor(ancestor) for ancestor in ancestors]
        return Lineage.model_validate({"id": ancestors[0].id, "versions": versions, "has_more": has_more})

    @operation(
        "PUT",
        "/v1/models/<name>/aliases/<alias>",
        tag="models",
        body=AliasSet,
        answer=Model,
        errors=(404, 422),
    )
    def set_alias(self, call: Call, name: str, alias: str) -> Model:
        """Point an alias at a version; it works wherever an id does from then on."""
        if not is_name(alias):
            message = f"The alias is {alias[:80]!r}; it takes 1 to 64 letters, digits, `.`, `_` and `-`."
            raise InvalidError(message, code="invalid_value", param="alias")
        body: AliasSet = call.body
        return _wire(self._models.set_alias(name, alias, body.version))

    @operation("DELETE", "/v1/models/<name>/aliases/<alias>", tag="models", answer=Deleted, errors=(404,))
    def drop_alias(self, call: Call, name: str, alias: str) -> Deleted:
        """Remove an alias; the version it points at stays."""
        self._models.drop_alias(name, alias)
        return Deleted(id=f"{name}@{alias}", object="model.alias", deleted=True)


def _wire(record: ModelRecord) -> Model:
    return Model.model_validate(
        {
            "id": record.id,
            "created": int(record.created_at),
            "created_at": record.created_at,
            "owned_by": record.owned_by,
            "name": record.name,
            "version": record.version,
            "task": record.task,
            "architecture": record.architecture,
            "parameters": record.parameters,
            "bytes": record.bytes,
            "sha256": record.sha256,
            "metrics": record.metrics,
            "aliases": [*record.aliases],
            "lineage": record.lineage,
            "input": record.input,
            "target": record.target,
        }
    )


def _ancestor(ancestor: Ancestor) -> dict[str, Any]:
    record, job, dataset = ancestor.record, ancestor.job, ancestor.dataset
    document: dict[str, Any] = {
        "id": ancestor.id,
        "gone": record is None,
        "parent": ancestor.parent,
        "serving": ancestor.serving,
        "feedback": _feedback(ancestor),
    }
    if record is not None:
        metrics = {name: value for name, value in record.metrics.items() if isinstance(value, float | int)}
        document |= {"created_at": record.created_at, "aliases": [*record.aliases], "metrics": metrics}
    if ancestor.job_id is not None:
        document["job"] = {"id": ancestor.job_id, "gone": job is None}
        if job is not None:
            document["job"] |= {"type": job.type, "status": job.status, "strategy": job.request.get("strategy")}
    if ancestor.dataset_id is not None:
        document["dataset"] = {"id": ancestor.dataset_id, "gone": dataset is None}
        if dataset is not None:
            document["dataset"] |= {"name": dataset.name, "rows": dataset.rows}
    return document


def _feedback(ancestor: Ancestor) -> dict[str, Any]:
    result, record = ancestor.result, ancestor.record
    by_kind: Counter[str] = Counter()
    by_source: Counter[str] = Counter()
    for kind, source, count in ancestor.tally:
        by_kind[kind] += count
        if source is not None:
            by_source[source] += count
    return {
        "used": result.get("feedback_used", 0 if record is None else record.lineage.get("feedback") or 0),
        "held_out": result.get("feedback_held_out", 0),
        "contradictions": result.get("contradictions", 0),
        "capped": result.get("capped", {}),
        "applied": sum(by_kind.values()),
        "by_kind": dict(by_kind),
        "by_source": dict(by_source),
    }
