"""Predictions: rows sent to a deployment, and its answers read back. Knows no feedback and no transport."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, Literal, Unpack, cast

from lmaas import types
from lmaas._encode import checked, encode_rows, to_json
from lmaas._flow import DriverT, Raw, Resource, call, endpoint
from lmaas._listing import Listing, list_query, listing
from lmaas._request import CallOptions, Flow, Request, query_of
from lmaas._stream import EmitFlow
from lmaas._text_stream import written
from lmaas.errors import InvalidRequestError
from lmaas.resources._ids import JSON_CONTENT, DeploymentRef, PredictionRef, id_of, segment

NPY_CONTENT = {"content-type": "application/x-npy"}
EVENT_STREAM = "text/event-stream"


def predicted(
    deployment: DeploymentRef,
    inputs: Any,
    *,
    parameters: types.PredictionParameters,
    user: str | None,
    store: bool,
    options: CallOptions,
) -> Flow[types.Prediction]:
    """Send rows and return the answers: an array as its bytes, with the parameters in the query; others as JSON."""
    path = _path(deployment)
    rows = encode_rows(inputs)
    if rows.npy is None:
        body = _document(rows.json, parameters, user=user, store=store)
        return call(Request("POST", path, (), body, JSON_CONTENT, options), types.Prediction)
    if stray := parameters.model_fields_set - {"top_k", "probabilities"}:
        raise InvalidRequestError(f"{min(stray)} is for texts, and these rows are an array", param=min(stray))
    # Only what differs from the default: a short URL is read faster than a long one.
    query = query_of(
        top_k=parameters.top_k,
        probabilities=parameters.probabilities or None,
        user=user,
        store=None if store else False,
    )
    return call(Request("POST", path, query, rows.npy, NPY_CONTENT, options), types.Prediction)


def streamed(
    deployment: DeploymentRef,
    prompt: Any,
    *,
    parameters: types.PredictionParameters,
    user: str | None,
    store: bool,
    options: CallOptions,
) -> EmitFlow[str]:
    """Send one prompt, emit the pieces of its answer and return the prediction."""
    if isinstance(prompt, Sequence) and not isinstance(prompt, str):
        prompt = {"messages": list(cast("Sequence[Any]", prompt))}  # type: ignore[redundant-cast]  # pyright needs it
    body = _document([prompt], parameters, user=user, store=store)
    headers = {**JSON_CONTENT, "accept": EVENT_STREAM}
    return written(Request("POST", _path(deployment), (), body, headers, options, stream=True))


def parameters_of(
    *,
    top_k: int | None = None,
    probabilities: bool = False,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    stop: str | Sequence[str] | None = None,
    seed: int | None = None,
    logprobs: int | None = None,
) -> types.PredictionParameters:
    """Return the parameters that were given.

    Raises:
        InvalidRequestError: One of them is wrong.
    """
    return checked(
        types.PredictionParameters,
        top_k=top_k,
        probabilities=probabilities or None,
        max_tokens=max_tokens,
        temperature=None if temperature is None else float(temperature),
        top_p=None if top_p is None else float(top_p),
        stop=(stop,) if isinstance(stop, str) else stop,
        seed=seed,
        logprobs=logprobs,
    )


def _path(deployment: DeploymentRef) -> str:
    return f"/v1/deployments/{segment(id_of(deployment))}/predictions"


def _document(
    rows: list[Any] | None, parameters: types.PredictionParameters, *, user: str | None, store: bool
) -> bytes:
    document: dict[str, Any] = {"inputs": rows}
    if parameters.model_fields_set:
        document["parameters"] = parameters.model_dump(exclude_unset=True)
    if user is not None:
        document["user"] = user
    if not store:
        document["store"] = False
    return to_json(document)


class Predictions(Resource[DriverT], Generic[DriverT]):
    """What deployments answered, kept so that feedback needs only an id."""

    @property
    def with_raw_response(self) -> Predictions[Raw[DriverT]]:
        """The same methods, giving status, headers and body beside the value."""
        return Predictions(self.core.as_raw())

    @endpoint
    def create(
        self,
        deployment: DeploymentRef,
        inputs: Any,
        *,
        top_k: int | None = None,
        probabilities: bool = False,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        stop: str | Sequence[str] | None = None,
        seed: int | None = None,
        logprobs: int | None = None,
        user: str | None = None,
        store: bool = True,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Prediction]:
        """Predict rows; the same as `client.predict`."""
        parameters = parameters_of(
            top_k=top_k,
            probabilities=probabilities,
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=top_p,
            stop=stop,
            seed=seed,
            logprobs=logprobs,
        )
        return predicted(deployment, inputs, parameters=parameters, user=user, store=store, options=options)

    @listing
    def list(
        self,
        *,
        deployment: DeploymentRef | None = None,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        **options: Unpack[CallOptions],
    ) -> Listing[types.Prediction]:
        """List all predictions, newest first, `limit` to a page; of one deployment, or of all."""
        query = list_query(
            after=after, limit=limit, order=order, deployment=None if deployment is None else id_of(deployment)
        )
        return Listing("/v1/predictions", types.Page[types.Prediction], query, options)

    @endpoint
    def retrieve(self, prediction: PredictionRef, **options: Unpack[CallOptions]) -> Flow[types.Prediction]:
        """Return a prediction that was made earlier."""
        return call(Request("GET", f"/v1/predictions/{segment(id_of(prediction))}", options=options), types.Prediction)

    @endpoint
    def delete(self, prediction: PredictionRef, **options: Unpack[CallOptions]) -> Flow[types.Deleted]:
        """Delete a prediction with its inputs, and retract the feedback about it.

        No update learns from it any more. Versions that did stay as they are; an update with the strategy `retrain`
        makes one that never saw it.
        """
        return call(Request("DELETE", f"/v1/predictions/{segment(id_of(prediction))}", options=options), types.Deleted)
