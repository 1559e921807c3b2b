"""Feedback: what a prediction should have been, or how it was received. Knows no learning and no transport."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, Unpack

from lmaas import types
from lmaas._encode import checked, encoded
from lmaas._flow import DriverT, Raw, Resource, call, endpoint
from lmaas._listing import Listing, list_query, listing
from lmaas._request import CallOptions, Flow, Request, mint_key
from lmaas.errors import FeedbackItemError
from lmaas.resources._buffering import buffering
from lmaas.resources._ids import (
    JSON_CONTENT,
    DeploymentRef,
    FeedbackRef,
    ModelRef,
    PredictionRef,
    derived,
    id_of,
    model_id,
    segment,
    with_key,
)
from lmaas.resources._outbox import BATCH, PATH, BufferPlan
from lmaas.resources._statements import Preferred, Rows, Said, items_said

Kind = Literal["label", "rating", "preference", "demonstration", "metric", "comment"]


def _stored(items: Sequence[types.FeedbackItem], options: CallOptions) -> Flow[builtins.list[types.Feedback]]:
    # More than fit in one request travel in several, each stored whole or not at all.
    stored: list[types.Feedback] = []
    for start in range(0, len(items), BATCH):
        part = options if len(items) <= BATCH else derived(options, str(start))
        body = encoded(types.FeedbackBatch(items=list(items[start : start + BATCH])))
        request = Request("POST", PATH, body=body, headers=JSON_CONTENT, options=part)
        stored += (yield from call(request, types.Page[types.Feedback])).data
    return stored


class Feedbacks(Resource[DriverT], Generic[DriverT]):
    """What people and programs say about predictions; the next update learns from it."""

    @property
    def with_raw_response(self) -> Feedbacks[Raw[DriverT]]:
        """The same methods, giving status, headers and body beside the value."""
        return Feedbacks(self.core.as_raw())

    @endpoint
    def __call__(
        self,
        prediction: PredictionRef,
        *,
        labels: Rows = None,
        ratings: Rows = None,
        preferred: Preferred = None,
        demonstrations: Rows = None,
        metric: Mapping[str, float] | None = None,
        comments: Rows = None,
        indices: Sequence[int] | None = None,
        weight: float | None = None,
        source: str | None = None,
        metadata: dict[str, str] | None = None,
        **options: Unpack[CallOptions],
    ) -> Flow[builtins.list[types.Feedback]]:
        """Say about a prediction, row by row, one of the following; once this returns, it is on the server's disk.

        Args:
            prediction: The prediction or its id; the server kept the inputs.
            labels: The right classes or values: one, or a list, array, tensor or series of one per row. None and NaN
                say nothing of their row.
            ratings: 1 or True where the answer was good, -1 or False where it was not; as `labels`.
            preferred: Another prediction for the same inputs that is better than this one, in row 0 or in `indices`;
                or, of what was asked, two texts a row, `{"chosen": ..., "rejected": ...}`, as `labels`.
            demonstrations: The right texts; as `labels`.
            metric: Numbers observed later, by name, such as `{"clicks": 3}`.
            comments: Free text; as `labels`. Stored, not learned from.
            indices: The rows spoken of, where not all are: `labels` has one value for each of them.
            weight: How much each item counts in learning; omitted, 1.
            source: Who says so.
            metadata: Up to 32 free words stored with each item.
            **options: extra_headers, timeout, idempotency_key.

        Returns:
            The stored items, in order of rows.

        Raises:
            InvalidRequestError: Not one of the kinds was given, or not one value for each row; nothing was sent.
        """
        key = options.get("idempotency_key") or mint_key()
        said: Said = {
            "labels": labels,
            "ratings": ratings,
            "preferred": preferred,
            "demonstrations": demonstrations,
            "metric": metric,
            "comments": comments,
            "indices": indices,
            "weight": weight,
            "source": source,
            "metadata": metadata,
        }
        return _stored(items_said(prediction, said, key=key), with_key(options, key))

    @buffering
    def buffer(
        self,
        *,
        max_items: int = 500,
        max_age: float = 1.0,
        max_waiting: int = 10_000,
        on_error: Callable[[FeedbackItemError], object] | None = None,
        source: str | None = None,
        **options: Unpack[CallOptions],
    ) -> BufferPlan:
        """Return a buffer: it takes feedback at once and sends it in batches, and waits for all of it at its end.

            with client.feedback.buffer() as send:
                for prediction, label in later:
                    send(prediction, labels=label)

        Args:
            max_items: Items in a batch, which goes as soon as it is full.
            max_age: Seconds an item waits for others, at most.
            max_waiting: Items on their way, at most: where there are so many, `send` waits for room.
            on_error: Called with the error of each item that could not be stored, as it comes; omitted, flushing and
                the end of the block raise them all as a `FeedbackBufferError`. A batch that cannot be sent at all is
                tried again as every call is, then each of its items has an error.
            source: Who says so, where `send` is not told.
            **options: extra_headers, timeout of each batch.
        """
        return BufferPlan(
            max_items=max_items,
            max_age=max_age,
            max_waiting=max_waiting,
            on_error=on_error,
            source=source,
            options=options,
        )

    @endpoint
    def create(
        self,
        prediction: PredictionRef,
        *,
        kind: Kind,
        value: Any,
        index: int = 0,
        id: str | None = None,
        weight: float | None = None,
        source: str | None = None,
        metadata: dict[str, str] | None = None,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Feedback]:
        """Store one item as it travels; `client.feedback(...)` is the comfortable way.

        Args:
            prediction: The prediction or its id.
            kind: label, rating, preference, demonstration, metric or comment.
            value: What the kind asks for, see `FeedbackItem`.
            index: The row of the prediction.
            id: `fb-...`, chosen by the caller so that sending twice stores once.
            weight: How much the item counts in learning.
            source: Who says so.
            metadata: Up to 32 free words.
            **options: extra_headers, timeout, idempotency_key.
        """
        item = checked(
            types.FeedbackItem,
            id=id,
            prediction_id=id_of(prediction),
            index=index,
            kind=kind,
            value=value,
            weight=weight,
            source=source,
            metadata=metadata,
        )
        return call(Request("POST", PATH, body=encoded(item), headers=JSON_CONTENT, options=options), types.Feedback)

    @listing
    def list(
        self,
        *,
        deployment: DeploymentRef | None = None,
        prediction: PredictionRef | None = None,
        applied: bool | ModelRef | None = None,
        kind: Kind | None = None,
        source: str | None = None,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        **options: Unpack[CallOptions],
    ) -> Listing[types.Feedback]:
        """List all feedback, newest first, `limit` to a page.

        Args:
            deployment: On predictions of this one.
            prediction: On this one.
            applied: Whether a version has learned from it; or the version that has: `applied="digits@3"`.
            kind: Of this kind.
            source: From this source.
            after: Begin after this id.
            limit: Items to a page, 1 to 1,000.
            order: By time; `desc` is the newest first.
            **options: extra_headers, timeout.
        """
        query = list_query(
            after=after,
            limit=limit,
            order=order,
            deployment=None if deployment is None else id_of(deployment),
            prediction=None if prediction is None else id_of(prediction),
            applied=applied if applied is None or isinstance(applied, bool) else model_id(applied),
            kind=kind,
            source=source,
        )
        return Listing(PATH, types.Page[types.Feedback], query, options)

    @endpoint
    def retrieve(self, feedback: FeedbackRef, **options: Unpack[CallOptions]) -> Flow[types.Feedback]:
        """Return one item; `applied_in` names the version that learned from it."""
        return call(Request("GET", f"{PATH}/{segment(id_of(feedback))}", options=options), types.Feedback)

    @endpoint
    def delete(self, feedback: FeedbackRef, **options: Unpack[CallOptions]) -> Flow[types.Deleted]:
        """Retract one item: no update will learn from it any more."""
        return call(Request("DELETE", f"{PATH}/{segment(id_of(feedback))}", options=options), types.Deleted)

    retract = delete
