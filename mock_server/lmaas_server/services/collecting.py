"""Feedback: what a prediction should have been, checked against the model that made it and kept for good.

Knows no HTTP and no learning. All items of a call are stored, or none; or, where the caller would rather have it so,
those that can be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence

from lmaas.types import FeedbackItem
from lmaas_server.errors import ConflictError, InvalidError, MissingError, ServiceError
from lmaas_server.records import FeedbackRecord, ModelRecord, PageRequest, PredictionRecord, new_id
from lmaas_server.services.feedback_values import checked_value
from lmaas_server.services.judging import verdict_of
from lmaas_server.services.observing import Observer
from lmaas_server.services.prediction_log import PredictionLog
from lmaas_server.services.text_feedback import TextFeedback
from lmaas_server.storage import Page, Storage

__all__ = ["CollectingService"]

_VERSION = re.compile(r"[^@]+@\d+")


class CollectingService:
    """Takes feedback in."""

    def __init__(
        self,
        storage: Storage,
        *,
        log: PredictionLog,
        texts: TextFeedback,
        observer: Observer,
        heard: Callable[[Collection[str]], object],
        clock: Callable[[], float],
    ) -> None:
        """Take what it needs; `heard` is told which deployments something new was said of."""
        self._storage = storage
        self._heard = heard
        self._texts = texts
        self._log = log
        self._observer = observer
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
        checked = self._checked(items, single=single, request_key=request_key)
        outcomes = self._stored(checked, every=True, single=single)
        return [outcome for outcome in outcomes if isinstance(outcome, FeedbackRecord)]

    def add_each(
        self, items: Sequence[FeedbackItem | ServiceError], *, request_key: str | None = None
    ) -> list[FeedbackRecord | ServiceError]:
        """Store those of the items that can be; in the place of each other, the error that `add` would raise.

        What is an error already stays one.
        """
        checked = self._checked(items, single=False, request_key=request_key)
        return self._stored(checked, every=False, single=False)

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
        kind: str | None = None,
        source: str | None = None,
    ) -> Page[FeedbackRecord]:
        """Return one page of the items; `applied` is whether a version learned from it, or which one did.

        Raises:
            MissingError: `model_not_found`: `applied` is no version, nor what stands for one.
        """
        if isinstance(applied, str) and not _VERSION.fullmatch(applied):
            # What a deleted version learned is still asked for by its id; anything else has to mean one that is there.
            applied = self._storage.models.resolve(applied, param="applied").id
        return self._storage.feedback.page(
            page, deployment=deployment, prediction=prediction, applied=applied, kind=kind, source=source
        )

    def retract(self, id: str) -> None:
        """Take an item back: it is never learned from again, and its id is not given again.

        Raises:
            MissingError: `feedback_not_found`.
        """
        record = self._storage.feedback.delete(id, now=self._clock())
        if record is None:
            raise _feedback_missing(id)
        self._uncount(record)

    def forget(self, prediction: str) -> None:
        """Delete a prediction with its inputs, and take back all that was said of it.

        What a version has learned from it stays in that version; `retrain` makes one that never saw it.

        Raises:
            MissingError: `prediction_not_found`.
        """
        self._log.flush()
        retracted = self._storage.predictions.delete(prediction, now=self._clock())
        if retracted is None:
            raise _prediction_missing(prediction, param="prediction_id")
        for record in retracted:
            self._uncount(record)

    def _uncount(self, record: FeedbackRecord) -> None:
        self._observer.retracted(
            record.deployment,
            record.model,
            right=_right(record),
            kind=record.kind,
            value=record.value,
            created_at=record.created_at,
        )

    def _checked(
        self,
        items: Sequence[FeedbackItem | ServiceError],
        *,
        single: bool,
        request_key: str | None,
    ) -> Iterator[FeedbackRecord | ServiceError]:
        """Yield each item as it is to be stored, or what is wrong with it."""
        self._log.flush()
        ids = dict.fromkeys(item.prediction_id for item in items if isinstance(item, FeedbackItem))
        predictions = self._storage.predictions.get_many(list(ids), inputs=False)
        texts = self._texts.about(item for item in items if isinstance(item, FeedbackItem))
        models: dict[tuple[str, str], ModelRecord | ConflictError] = {}
        now = self._clock()
        for place, item in enumerate(items):
            if isinstance(item, ServiceError):
                yield item
                continue
            prefix = "" if single else f"items[{place}]."
            try:
                prediction = predictions.get(item.prediction_id)
                if prediction is None:
                    raise _prediction_missing(item.prediction_id, param=f"{prefix}prediction_id")
                model = self._model_of(prediction, models, param=f"{prefix}prediction_id")
                _check_row(prediction, item.index, prefix)
                value = checked_value(item.kind, item.value, model, param=f"{prefix}value")
                texts.check(item, value, model, param=f"{prefix}value")
            except ServiceError as exc:
                yield exc
                continue
            yield FeedbackRecord(
                id=item.id or new_id("fb", request_key, place),
                prediction_id=item.prediction_id,
                index=item.index,
                kind=item.kind,
                value=value,
                weight=1.0 if item.weight is None else item.weight,
                source=item.source,
                metadata=dict(item.metadata),
                deployment=prediction.deployment,
                model=prediction.model,
                created_at=now,
                verdict=verdict_of(item.kind, value, prediction.outputs[item.index], model),
                predicted_at=prediction.created_at,
            )

    def _stored(
        self,
        checked: Iterator[FeedbackRecord | ServiceError],
        *,
        every: bool,
        single: bool,
    ) -> list[FeedbackRecord | ServiceError]:
        """Store what is right, in one transaction; with `every`, the first that is wrong is raised and nothing is."""
        outcomes: list[FeedbackRecord | ServiceError] = []
        records: dict[int, FeedbackRecord] = {}
        for place, outcome in enumerate(checked):
            if isinstance(outcome, FeedbackRecord):
                records[place] = outcome
            elif every:
                raise outcome
            outcomes.append(outcome)
        for place, kept in zip(records, self._storage.feedback.add_each([*records.values()], every=every), strict=True):
            if isinstance(kept, ConflictError):
                kept.param = "id" if single else f"items[{place}].id"
                if every:
                    raise kept
            outcomes[place] = kept
        # After the last conflict, which may mean that nothing was stored; and not what was there already.
        fresh = [record for place, record in records.items() if outcomes[place] is record]
        for record in fresh:
            self._observer.labelled(
                record.deployment, record.model, right=_right(record), kind=record.kind, value=record.value
            )
        if fresh:
            self._heard({record.deployment for record in fresh})
        return outcomes

    def _model_of(
        self, prediction: PredictionRecord, known: dict[tuple[str, str], ModelRecord | ConflictError], *, param: str
    ) -> ModelRecord:
        """Return the version that made a prediction; late feedback finds it though another serves by now."""
        key = (prediction.deployment, prediction.model)
        if key not in known:
            model = self._storage.models.get(prediction.model)
            if self._storage.deployments.get(prediction.deployment) is None:
                message = f"The deployment {prediction.deployment!r} of {prediction.id} is gone; nothing can learn."
                known[key] = ConflictError(message, code="deployment_gone")
            elif model is None:
                message = f"The model {prediction.model} that made {prediction.id} was deleted; nothing can learn."
                known[key] = ConflictError(message, code="model_gone")
            else:
                known[key] = model
        found = known[key]
        if isinstance(found, ConflictError):
            raise ConflictError(found.message, code=found.code, param=param)
        return found


def _right(record: FeedbackRecord) -> bool | None:
    """Whether a label says what was shown; None of what is no label."""
    return record.verdict if record.kind == "label" else None


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
