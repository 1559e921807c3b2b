"""Predictions: a deployment answers rows, and the answer is logged with its inputs. Knows no HTTP.

    route -> version -> predictor, with the rows of other requests -> outputs -> log (in the background) -> answer

An answer is given in steps (`engine.serving.steps`): what the network computes may be computed together with what
others ask, and all else is done for each request by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter

from lmaas_server.engine.serving.batching import Batcher
from lmaas_server.engine.serving.steps import LENGTHY, Steps, Together, finished
from lmaas_server.errors import InvalidError, MissingError, ServiceError, UnavailableError
from lmaas_server.records import Json, PageRequest, PredictionRecord, new_id
from lmaas_server.services.answers import Asked, Predicted
from lmaas_server.services.batching import Batchers
from lmaas_server.services.npy import Array
from lmaas_server.services.observing import Observer
from lmaas_server.services.prediction_log import PredictionLog
from lmaas_server.services.predictors import ByRows, Predictors
from lmaas_server.services.replays import RecentAnswers, key_reused
from lmaas_server.services.routing import Route, RoutingTable, check_ready
from lmaas_server.services.shadowing import Shadows
from lmaas_server.services.streaming import Repeated, Stream, Streamed
from lmaas_server.storage import Page, Storage

__all__ = ["PredictingService"]

# Codes of a row that is not of the model's shape: when every row has one, the request as a whole is wrong.
_MISSHAPEN = {"shape_mismatch", "input_invalid"}
_UNANSWERABLE = _MISSHAPEN | {"prompt_too_long", "row_invalid", "text_empty"}


class PredictingService:
    """Answers requests for predictions and keeps what it answered."""

    def __init__(
        self,
        storage: Storage,
        *,
        routes: RoutingTable,
        predictors: Predictors,
        batchers: Batchers,
        log: PredictionLog,
        observer: Observer,
        shadows: Shadows,
        clock: Callable[[], float],
    ) -> None:
        self._storage = storage
        self._routes = routes
        self._predictors = predictors
        self._batchers = batchers
        self._log = log
        self._observer = observer
        self._shadows = shadows
        self._clock = clock
        self._recent: RecentAnswers[Predicted] = RecentAnswers(budget=32 * 2**20)

    def __repr__(self) -> str:
        return f"PredictingService({self._routes!r}, {self._predictors!r})"

    def predict(self, deployment: str, asked: Asked) -> Steps[Predicted]:
        """Answer every row, once for each request key.

        Raises:
            MissingError: `deployment_not_found`.
            UnavailableError: `deployment_starting`: not ready yet.
            ConflictError: `deployment_failed`, `deployment_stopped`; or the key's, as `Idempotency-Key` says.
            InvalidError: `shape_mismatch`: no row has the model's shape.
        """
        if asked.request_key is None:
            return (yield from self._answer(deployment, new_id("pred"), asked))
        id = new_id("pred", asked.request_key)
        if (known := self._recent.begin(id, asked.fingerprint)) is not None:
            return replace(known, replayed=True)
        try:
            answer = (yield from self._logged(id, asked)) or (yield from self._answer(deployment, id, asked))
        except BaseException:
            self._recent.abandon(id)
            raise
        self._recent.finish(id, answer, size=answer.size)
        return answer

    def stream(self, deployment: str, asked: Asked) -> Stream:
        """Begin to answer one prompt with a text that is read as it is written.

        Raises:
            ServiceError: As for `predict`; or `stream_one_input`, `stream_unsupported`.
        """
        id = new_id("pred", asked.request_key)
        if asked.request_key is None:
            return self._begun(deployment, id, asked)
        known = self._recent.begin(id, asked.fingerprint)
        try:
            known = known or finished(self._logged(id, asked))
            if known is None:
                return self._begun(deployment, id, asked)
        except BaseException:
            self._recent.abandon(id)
            raise
        self._recent.finish(id, known, size=known.size)
        return Repeated(id, known.model, replace(known, replayed=True))

    def get(self, id: str) -> PredictionRecord:
        """Return a prediction from the log.

        Raises:
            MissingError: `prediction_not_found`.
        """
        self._log.flush()
        if (record := self._storage.predictions.get(id)) is None:
            message = f"There is no prediction {id!r}; one that was made with `store: false` is not kept."
            raise MissingError(message, code="prediction_not_found", param="prediction_id")
        return record

    def page(self, page: PageRequest, *, deployment: str | None = None) -> Page[PredictionRecord]:
        """Return one page of the log."""
        self._log.flush()
        return self._storage.predictions.page(page, deployment=deployment)

    def _answer(self, deployment: str, id: str, asked: Asked) -> Steps[Predicted]:
        route = self._routes.get(deployment)
        check_ready(route)
        model = route.choose(asked.user or asked.request_id or id)
        began, role = perf_counter(), route.roles[model]
        try:
            outputs, array = yield from self._outputs(route, model, asked)
        except Exception as exc:
            self._blame(deployment, model, role, exc)
            raise
        self._observer.answered(deployment, model, role=role, outputs=outputs, seconds=perf_counter() - began)
        answer = Predicted(
            id=id, deployment=deployment, model=model, outputs=outputs, created_at=self._clock(), array=array
        )
        if asked.store:
            self._log.add(_record(answer, asked))
        if route.shadows:
            self._shadows.show(route.shadows, asked, answer)
        return answer

    def _begun(self, deployment: str, id: str, asked: Asked) -> Stream:
        if len(asked.rows) != 1:
            message = f"A stream answers one prompt, and there are {len(asked.rows)}; ask for each in a request."
            raise InvalidError(message, code="stream_one_input", param="inputs")
        route = self._routes.get(deployment)
        check_ready(route)
        model = route.choose(asked.user or asked.request_id or id)
        role = route.roles[model]
        try:
            predictor = self._predictors.get(model)
            (text,) = predictor.stream(asked.rows, asked.parameters)
        except Exception as exc:
            self._blame(deployment, model, role, exc)
            raise
        return Streamed(
            id=id,
            model=model,
            text=text,
            output=partial(predictor.output, text),
            answer=partial(self._streamed, route, id, model, asked, began=perf_counter()),
            abandon=partial(self._abandoned, deployment, id, model, role),
        )

    def _abandoned(self, deployment: str, id: str, model: str, role: str, reason: BaseException) -> None:
        """Forget a stream that broke."""
        self._recent.abandon(id)
        self._blame(deployment, model, role, reason)

    def _blame(self, deployment: str, model: str, role: str, reason: BaseException) -> None:
        """Count a failure against a version, unless the request was wrong or there were too many of them."""
        if isinstance(reason, Exception) and not isinstance(reason, InvalidError | UnavailableError):
            self._observer.failed(deployment, model, role=role)

    def _streamed(self, route: Route, id: str, model: str, asked: Asked, output: Json, *, began: float) -> Predicted:
        """Log the answer that a stream has given, and keep it for who asks again."""
        deployment, role = route.record.name, route.roles[model]
        answer = Predicted(id=id, deployment=deployment, model=model, outputs=[output], created_at=self._clock())
        seconds = perf_counter() - began
        self._observer.answered(deployment, model, role=role, outputs=[output], seconds=seconds)
        if route.shadows:
            self._shadows.show(route.shadows, asked, answer)
        if asked.store:
            self._log.add(_record(answer, asked))
        if asked.request_key is not None:
            self._recent.finish(id, answer, size=answer.size)
        return answer

    def _outputs(self, route: Route, model: str, asked: Asked) -> Steps[tuple[list[Json], Array | None]]:
        if (predictor := self._predictors.loaded(model)) is None:
            yield LENGTHY
            predictor = self._predictors.get(model)
        if (by_rows := predictor.by_rows) is None:
            yield LENGTHY
            if asked.as_array:
                predictor.arrays(asked.rows)  # refuses
            outputs, array = predictor.answer(asked.rows, asked.parameters), None
        else:
            outputs, array = yield from _computed(by_rows, self._batchers.of(route.record, model), asked)
        _refuse_if_all_misshapen(outputs)
        return outputs, array

    def _logged(self, id: str, asked: Asked) -> Steps[Predicted | None]:
        """Return an earlier answer from the log: the key may be older than this process, or than its memory."""
        record = self._storage.predictions.get(id)
        if record is None:
            return None
        if record.inputs != asked.raw or record.inputs_type != asked.media:
            raise key_reused()
        # The same version gives the same bits again; the log keeps no array.
        array = None
        if asked.as_array:
            yield LENGTHY
            array, _ = self._predictors.get(record.model).arrays(asked.rows)
        return Predicted(
            id=id,
            deployment=record.deployment,
            model=record.model,
            outputs=record.outputs,
            created_at=record.created_at,
            array=array,
            replayed=True,
        )


def _computed(by_rows: ByRows, batcher: Batcher, asked: Asked) -> Steps[tuple[list[Json], Array | None]]:
    parameters = asked.parameters
    if not asked.as_array:
        by_rows.check(parameters)
    rows, errors = by_rows.rows(asked.rows)
    found = yield Together(batcher, by_rows.compute, rows)
    if asked.as_array:
        array = by_rows.array(found, errors)
        return _outputs_of(array, errors), array
    outputs = by_rows.outputs(found, errors, top_k=parameters.top_k, probabilities=parameters.probabilities)
    return outputs, None


def _record(answer: Predicted, asked: Asked) -> PredictionRecord:
    return PredictionRecord(
        id=answer.id,
        deployment=answer.deployment,
        model=answer.model,
        outputs=answer.outputs,
        rows=len(answer.outputs),
        created_at=answer.created_at,
        user=asked.user,
        inputs=asked.raw,
        inputs_type=asked.media,
    )


def _refuse_if_all_misshapen(outputs: list[Json]) -> None:
    first = outputs[0].get("error")
    if first is not None and all((output.get("error") or {}).get("code") in _UNANSWERABLE for output in outputs):
        code = "shape_mismatch" if first["code"] in _MISSHAPEN else first["code"]
        raise InvalidError(first["message"], code=code, param="inputs[0]")


def _outputs_of(array: Array, errors: dict[int, ServiceError]) -> list[Json]:
    """Return what the log keeps of an array: the index and score of the best class, or the value, of each row."""
    import numpy as np

    rows, *rest = array.shape
    if len(rest) == 1 and rest[0] > 1:
        best = np.argmax(np.nan_to_num(array, nan=-1.0), axis=1)
        scores = array[np.arange(rows), best].tolist()
        outputs: list[Json] = [
            {"index": index, "score": score} for index, score in zip(best.tolist(), scores, strict=True)
        ]
    else:
        outputs = [{"value": value} for value in array.tolist()]
    for row, error in errors.items():
        outputs[row] = {"error": {"code": error.code, "message": error.message}}
    return outputs
