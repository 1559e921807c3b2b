"""Feedback: what a prediction should have been, checked against the model that made it and kept for good.

Knows no HTTP and no learning. All items of a call are stored, or none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lmaas.types import FeedbackItem
from lmaas_server.errors import ConflictError, InvalidError, MissingError
from lmaas_server.records import FeedbackRecord, ModelRecord, PageRequest, PredictionRecord, new_id
from lmaas_server.services.feedback_values import checked_value
from lmaas_server.services.prediction_log import PredictionLog
from lmaas_server.storage import Page, Storage

__all__ = ["CollectingService"]


class CollectingService:
    """Takes feedback in."""

    def __init__(self, storage: Storage, *, log: PredictionLog, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._log = log
        self._clock = clock

    def __repr__(self) -> str:
        return f"CollectingService({self._storage!r})"

    def add(
        self, items: Sequence[FeedbackItem], *, single: bool = False, request_key: str | None = None
    ) -> list[FeedbackRecord]:
        """Check all items and store them; they are on the disk when this returns.

        Args:
            items: What is said.
            single: The call is one item, not a batch: errors name `value` instead of `items[0].value`.
            request_key: Ids of items without one derive from it.

        Raises:
            MissingError: `prediction_not_found`.
            InvalidError: `feedback_invalid`: the value does not fit the model, or the row is not there.
            ConflictError: `feedback_conflict`: another statement stands under this id; `model_gone`,
                `deployment_gone`: what it is about was deleted.
        """
        self._log.flush()
        predictions = self._storage.predictions.get_many(list(dict.fromkeys(item.prediction_id for item in items)))
        models: dict[str, ModelRecord] = {}
        now = self._clock()
        records = []
        for place, item in enumerate(items):
            prefix = "" if single else f"items[{place}]."
            prediction = predictions.get(item.prediction_id)
            if prediction is None:
                raise _prediction_missing(item.prediction_id, param=f"{prefix}prediction_id")
            model = self._model_of(prediction, models)
            _check_row(prediction, item.index, prefix)
            records.append(
                FeedbackRecord(
                    id=item.id or new_id("fb", request_key, place),
                    prediction_id=item.prediction_id,
                    index=item.index,
                    kind=item.kind,
                    value=checked_value(item.kind, item.value, model, param=f"{prefix}value"),
                    weight=1.0 if item.weight is None else item.weight,
                    source=item.source,
                    metadata=dict(item.metadata),
                    deployment=prediction.deployment,
                    model=prediction.model,
                    created_at=now,
                )
            )
        return self._stored(records, single=single)

    def get(self, id: str) -> FeedbackRecord:
        """Return an item.

        Raises:
            MissingError: `feedback_not_found`: there is none, or it was retracted.
        """
        if (record := self._storage.feedback.get(id)) is None:
            raise _feedback_missing(id)
        return record

    def page(
        self,
        page: PageRequest,
        *,
        deployment: str | None = None,
        prediction: str | None = None,
        applied: bool | str | None = None,
    ) -> Page[FeedbackRecord]:
        """Return one page of the items; `applied` is whether a version learned from it, or which one did."""
        return self._storage.feedback.page(page, deployment=deployment, prediction=prediction, applied=applied)

    def retract(self, id: str) -> None:
        """Take an item back: it is never learned from again, and its id is not given again.

        Raises:
            MissingError: `feedback_not_found`.
        """
        if not self._storage.feedback.delete(id, now=self._clock()):
            raise _feedback_missing(id)

    def _stored(self, records: Sequence[FeedbackRecord], *, single: bool) -> list[FeedbackRecord]:
        try:
            return self._storage.feedback.add_many(records)
        except ConflictError as exc:
            if single and exc.param is not None:
                exc.param = exc.param.removeprefix("items[0].")
            raise

    def _model_of(self, prediction: PredictionRecord, known: dict[str, ModelRecord]) -> ModelRecord:
        """Return the version that made a prediction; late feedback finds it though another serves by now."""
        if prediction.model not in known:
            if self._storage.deployments.get(prediction.deployment) is None:
                message = f"The deployment {prediction.deployment!r} of {prediction.id} is gone; nothing can learn."
                raise ConflictError(message, code="deployment_gone", param="prediction_id")
            record = self._storage.models.get(prediction.model)
            if record is None:
                message = f"The model {prediction.model} that made {prediction.id} was deleted; nothing can learn."
                raise ConflictError(message, code="model_gone", param="prediction_id")
            known[prediction.model] = record
        return known[prediction.model]


def _check_row(prediction: PredictionRecord, index: int, prefix: str) -> None:
    param = f"{prefix}index"
    if index >= prediction.rows:
        rows = f"{prediction.rows} rows, 0 to {prediction.rows - 1}"
        message = f"`{param}` is {index}; the prediction {prediction.id} has {rows}."
        raise InvalidError(message, code="feedback_invalid", param=param)
    if "error" in prediction.outputs[index]:
        message = f"`{param}` is {index}, and that row of {prediction.id} had an error instead of an answer."
        raise InvalidError(message, code="feedback_invalid", param=param)


def _prediction_missing(id: str, *, param: str) -> MissingError:
    message = (
        f"There is no prediction {id[:80]!r}; one that was made with `store: false` is not kept and takes no feedback."
    )
    return MissingError(message, code="prediction_not_found", param=param)


def _feedback_missing(id: str) -> MissingError:
    message = f"There is no feedback {id!r}, or it was retracted; list it with GET /v1/feedback."
    return MissingError(message, code="feedback_not_found", param="feedback")
