"""Feedback over HTTP."""

from __future__ import annotations

from typing import Any, get_args

from lmaas.types import Deleted, Feedback, FeedbackBatch, FeedbackItem
from lmaas.types.feedback import FeedbackKind
from lmaas_server.errors import ServiceError
from lmaas_server.http.errors import failure_of
from lmaas_server.http.operation import Call, operation
from lmaas_server.http.paging import Query, list_of
from lmaas_server.http.validation import OneOf
from lmaas_server.records import FeedbackRecord
from lmaas_server.services.collecting import CollectingService

__all__ = ["FeedbackRoutes"]

_FILTERS = (
    Query(name="deployment", about="Only feedback on this deployment's predictions."),
    Query(name="prediction", about="Only feedback on this prediction."),
    Query(name="applied", about="`true` or `false`: whether a version learned from it; or that version, `digits@3`."),
    Query(name="kind", about="Only feedback of this kind.", choices=get_args(FeedbackKind)),
    Query(name="source", about="Only what this source said."),
)
_APPLIED = {"true": True, "false": False}


class FeedbackRoutes:
    """Endpoints of `/v1/feedback`."""

    def __init__(self, collecting: CollectingService) -> None:
        self._collecting = collecting

    def __repr__(self) -> str:
        return f"FeedbackRoutes({self._collecting!r})"

    @operation(
        "POST",
        "/v1/feedback",
        tag="feedback",
        body=OneOf(field="items", present=FeedbackBatch, absent=FeedbackItem, partial="partial"),
        answer=Feedback,
        errors=(404, 409, 422),
    )
    def create(self, call: Call) -> Any:
        """Say what a prediction should have been: one item, or `{items: [...]}`, of which all are kept or none.

        A 2xx means it is on the disk. One item is answered by itself, a batch by a list. With `partial: true` the
        items that can be kept are, and in the place of each other stands `{"error": {...}}`, which names it.
        """
        if isinstance(call.body, FeedbackItem):
            records = self._collecting.add([call.body], single=True, request_key=call.request_key)
            return _wire(records[0])
        batch: FeedbackBatch = call.body
        if batch.partial:
            outcomes = self._collecting.add_each(batch.items, request_key=call.request_key)
            return list_of([_wire_or_error(outcome, call) for outcome in outcomes], has_more=False)
        records = self._collecting.add(batch.items, request_key=call.request_key)
        return list_of([_wire(record) for record in records], has_more=False)

    @operation("GET", "/v1/feedback", tag="feedback", answer=Feedback, listed=True, query=_FILTERS, errors=(404, 422))
    def list(self, call: Call) -> dict[str, Any]:
        """List the feedback."""
        applied = call.query.get("applied")
        page = self._collecting.page(
            call.page,
            deployment=call.query.get("deployment"),
            prediction=call.query.get("prediction"),
            applied=None if applied is None else _APPLIED.get(applied, applied),
            kind=call.query.get("kind"),
            source=call.query.get("source"),
        )
        return list_of([_wire(record) for record in page.items], has_more=page.has_more)

    @operation("GET", "/v1/feedback/<feedback>", tag="feedback", answer=Feedback, errors=(404,))
    def retrieve(self, call: Call, feedback: str) -> dict[str, Any]:
        """Get one item."""
        return _wire(self._collecting.get(feedback))

    @operation("DELETE", "/v1/feedback/<feedback>", tag="feedback", answer=Deleted, errors=(404,))
    def retract(self, call: Call, feedback: str) -> Deleted:
        """Take an item back; nothing learns from it any more."""
        self._collecting.retract(feedback)
        return Deleted(id=feedback, object="feedback", deleted=True)


def _wire_or_error(outcome: FeedbackRecord | ServiceError, call: Call) -> dict[str, Any]:
    if isinstance(outcome, FeedbackRecord):
        return _wire(outcome)
    return failure_of(outcome, method="POST", path=call.request.path, request_id=call.request_id).document


def _wire(record: FeedbackRecord) -> dict[str, Any]:
    # Not made a `Feedback` first: ten thousand of these may be one answer, and every field comes from our own row.
    return {
        "id": record.id,
        "object": "feedback",
        "prediction_id": record.prediction_id,
        "index": record.index,
        "kind": record.kind,
        "value": record.value,
        "weight": record.weight,
        "source": record.source,
        "metadata": record.metadata,
        "deployment": record.deployment,
        "model": record.model,
        "applied_in": record.applied_in,
        "created_at": record.created_at,
    }
