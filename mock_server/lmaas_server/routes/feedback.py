"""Feedback over HTTP."""

from __future__ import annotations

from typing import Any

from lmaas.types import Deleted, Feedback, FeedbackBatch, FeedbackItem
from lmaas_server.http.operation import Call, operation
from lmaas_server.http.paging import Query, list_of
from lmaas_server.http.validation import OneOf
from lmaas_server.records import FeedbackRecord
from lmaas_server.services.collecting import CollectingService

__all__ = ["FeedbackRoutes"]

_FILTERS = (
    Query(name="deployment", about="Only feedback on this deployment's predictions."),
    Query(name="prediction", about="Only feedback on this prediction."),
    Query(name="applied", about="`true` or `false`: whether a version learned from it; or the id of that version."),
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
        body=OneOf(field="items", present=FeedbackBatch, absent=FeedbackItem),
        answer=Feedback,
        errors=(404, 409, 422),
    )
    def create(self, call: Call) -> Any:
        """Say what a prediction should have been: one item, or `{items: [...]}`, of which all are kept or none.

        A 2xx means it is on the disk. One item is answered by itself, a batch by a list.
        """
        if isinstance(call.body, FeedbackItem):
            records = self._collecting.add([call.body], single=True, request_key=call.request_key)
            return _wire(records[0])
        records = self._collecting.add(call.body.items, request_key=call.request_key)
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
        )
        return list_of([_wire(record) for record in page.items], has_more=page.has_more)

    @operation("GET", "/v1/feedback/<feedback>", tag="feedback", answer=Feedback, errors=(404,))
    def retrieve(self, call: Call, feedback: str) -> Feedback:
        """Get one item."""
        return _wire(self._collecting.get(feedback))

    @operation("DELETE", "/v1/feedback/<feedback>", tag="feedback", answer=Deleted, errors=(404,))
    def retract(self, call: Call, feedback: str) -> Deleted:
        """Take an item back; nothing learns from it any more."""
        self._collecting.retract(feedback)
        return Deleted(id=feedback, object="feedback", deleted=True)


def _wire(record: FeedbackRecord) -> Feedback:
    # Built without validation: ten thousand of these may be one answer, and every field comes from our own row.
    return Feedback.model_construct(
        id=record.id,
        object="feedback",
        prediction_id=record.prediction_id,
        index=record.index,
        kind=record.kind,
        value=record.value,
        weight=record.weight,
        source=record.source,
        metadata=record.metadata,
        deployment=record.deployment,
        model=record.model,
        applied_in=record.applied_in,
        created_at=record.created_at,
    )
