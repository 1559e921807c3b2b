"""Predictions over HTTP: rows as JSON or as an npy array, answers likewise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lmaas.types import Deleted, Prediction, PredictionParameters, PredictionRequest
from lmaas_server.engine.data.json_rows import plain_rows
from lmaas_server.engine.serving.steps import Steps
from lmaas_server.errors import InvalidError, ServiceError
from lmaas_server.http.bodies import JSON_TYPE, NPY_TYPE
from lmaas_server.http.gateway import dumped
from lmaas_server.http.idempotency import REPLAYED
from lmaas_server.http.operation import Answer, Call, operation
from lmaas_server.http.paging import Query, list_of
from lmaas_server.http.sse import Message, More, Streams
from lmaas_server.http.validation import validate_json
from lmaas_server.records import PredictionRecord
from lmaas_server.services.answers import Asked, Predicted
from lmaas_server.services.collecting import CollectingService
from lmaas_server.services.npy import array_of, bytes_of
from lmaas_server.services.predicting import PredictingService
from lmaas_server.services.streaming import Stream

__all__ = ["PredictionRoutes"]

_PARAMETERS = (
    Query(name="top_k", about="With an npy body: `parameters.top_k`.", kind="integer", low=1, high=1000),
    Query(name="probabilities", about="With an npy body: `parameters.probabilities`.", kind="boolean"),
    Query(name="user", about="With an npy body: `user`."),
    Query(name="store", about="With an npy body: `store`.", kind="boolean"),
)
_DEPLOYMENT = Query(name="deployment", about="Only predictions of this deployment.")
_EVENT_STREAM = "text/event-stream"
_MAX_USER = 256


class PredictionRoutes:
    """Endpoints of predictions."""

    def __init__(self, predicting: PredictingService, *, collecting: CollectingService, streams: Streams) -> None:
        self._predicting = predicting
        self._collecting = collecting
        self._streams = streams

    def __repr__(self) -> str:
        return f"PredictionRoutes({self._predicting!r})"

    @operation(
        "POST",
        "/v1/deployments/<deployment>/predictions",
        tag="predictions",
        body=PredictionRequest,
        body_kind="raw",
        accepts=(JSON_TYPE, NPY_TYPE),
        gives=(JSON_TYPE, NPY_TYPE, _EVENT_STREAM),
        answer=Prediction,
        query=_PARAMETERS,
        errors=(404, 409, 413, 415, 422, 503),
        own_replays=True,
        quick=True,
    )
    def create(self, call: Call, deployment: str) -> Steps[Any]:
        """Predict rows; a bad row has an error in its place and its neighbours are answered.

        With `Accept: application/x-npy` the answer is a float32 array of probabilities (rows, classes) or of values,
        NaN where a row is bad, and the prediction's id is in the header `x-lmaas-prediction`. With
        `Accept: text/event-stream` a language model answers one prompt piece by piece: events `text`, then the
        `prediction` as a whole, then `data: [DONE]`.
        """
        asked = _from_npy(call) if call.media == NPY_TYPE else _from_json(call)
        if _EVENT_STREAM in call.accept:
            return self._streamed(self._predicting.stream(deployment, asked))
        answer = yield from self._predicting.predict(deployment, asked)
        headers = dict(REPLAYED) if answer.replayed else {}
        if answer.array is not None:
            headers |= {"x-lmaas-prediction": answer.id, "x-lmaas-model": answer.model}
            return Answer(body=bytes_of(answer.array), media=NPY_TYPE, headers=headers)
        return Answer(body=dumped(_wire(answer)), headers=headers)

    @operation("GET", "/v1/predictions/<prediction>", tag="predictions", answer=Prediction, errors=(404,))
    def retrieve(self, call: Call, prediction: str) -> dict[str, Any]:
        """Get a prediction from the log."""
        return _wire(self._predicting.get(prediction))

    @operation(
        "GET",
        "/v1/predictions",
        tag="predictions",
        answer=Prediction,
        listed=True,
        query=(_DEPLOYMENT,),
        errors=(404, 422),
    )
    def list(self, call: Call) -> dict[str, Any]:
        """List the log of predictions."""
        page = self._predicting.page(call.page, deployment=call.query.get("deployment"))
        return list_of([_wire(record) for record in page.items], has_more=page.has_more)

    @operation("DELETE", "/v1/predictions/<prediction>", tag="predictions", answer=Deleted, errors=(404,))
    def delete(self, call: Call, prediction: str) -> Deleted:
        """Delete a prediction with its inputs and retract the feedback about it; it takes no more."""
        self._collecting.forget(prediction)
        return Deleted(id=prediction, object="prediction", deleted=True)

    def _streamed(self, stream: Stream) -> Any:
        try:
            response = self._streams.respond(_followed(stream), closed=stream.close)
        except ServiceError:
            stream.close()
            raise
        response.headers.update({"x-lmaas-prediction": stream.id, "x-lmaas-model": stream.model})
        response.headers.update(REPLAYED if stream.replayed else {})
        return response


def _followed(stream: Stream) -> More:
    number = 0

    def more(timeout: float) -> tuple[Sequence[Message], bool]:
        nonlocal number
        try:
            text, answer = stream.more(timeout)
        except ServiceError as exc:
            error = {"message": exc.message, "type": "server_error", "param": exc.param, "code": exc.code}
            return [Message(id=str(number + 1), event="error", data=dumped({"error": error}))], True
        found = [("text", {"index": 0, "text": text})] if text else []
        found += [("prediction", _wire(answer))] if answer is not None else []
        first = number + 1
        number += len(found)
        messages = [
            Message(id=str(id), event=event, data=dumped(data)) for id, (event, data) in enumerate(found, start=first)
        ]
        return messages, answer is not None

    return more


def _from_json(call: Call) -> Asked:
    if call.query:
        name = next(iter(call.query))
        message = f"The query parameter `{name}` is for npy bodies; with JSON it belongs into the body."
        raise InvalidError(message, code="unknown_parameter", param=name)
    if (rows := plain_rows(call.raw)) is not None:
        return _asked(call, rows=rows)
    body: PredictionRequest = validate_json(PredictionRequest, call.raw)
    return _asked(call, rows=body.inputs, parameters=body.parameters, user=body.user, store=body.store)


def _asked(call: Call, **about: Any) -> Asked:
    return Asked(
        **about,
        raw=call.raw,
        media=call.media,
        as_array=NPY_TYPE in call.accept,
        request_id=call.request_id,
        request_key=call.request_key,
        fingerprint=call.fingerprint,
    )


def _from_npy(call: Call) -> Asked:
    rows = array_of(call.raw)
    if rows.ndim == 0 or len(rows) == 0:
        message = f"The array has the shape {rows.shape}; it takes (rows, ...) with at least one row."
        raise InvalidError(message, code="shape_mismatch", param="inputs")
    user = call.query.get("user")
    if user is not None and len(user) > _MAX_USER:
        raise InvalidError(f"`user` takes up to {_MAX_USER} characters.", code="invalid_value", param="user")
    parameters = PredictionParameters(
        top_k=call.query.get("top_k"), probabilities=call.query.get("probabilities", False)
    )
    return _asked(call, rows=rows, parameters=parameters, user=user, store=call.query.get("store", True))


def _wire(answer: Predicted | PredictionRecord) -> dict[str, Any]:
    # Plain data: this is the path that has to be fast, and every field is our own.
    return {
        "id": answer.id,
        "object": "prediction",
        "deployment": answer.deployment,
        "model": answer.model,
        "outputs": answer.outputs,
        "created_at": answer.created_at,
    }
