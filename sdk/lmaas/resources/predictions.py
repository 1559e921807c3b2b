"""Predictions: rows sent to a deployment, and its answers read back. Knows no feedback and no transport."""

from __future__ import annotations

from typing import Any, Generic, Literal, Unpack

from lmaas import types
from lmaas._encode import checked, encode_rows, to_json
from lmaas._flow import DriverT, Raw, Resource, call, endpoint
from lmaas._listing import Listing, list_query, listing
from lmaas._request import CallOptions, Flow, Request, query_of
from lmaas.resources._ids import JSON_CONTENT, DeploymentRef, PredictionRef, id_of, segment

NPY_CONTENT = {"content-type": "application/x-npy"}


def predicted(
    deployment: DeploymentRef,
    inputs: Any,
    *,
    top_k: int | None,
    probabilities: bool,
    user: str | None,
    store: bool,
    options: CallOptions,
) -> Flow[types.Prediction]:
    """Send rows and return the answers: an array as its bytes, with the parameters in the query; others as JSON."""
    path = f"/v1/deployments/{segment(id_of(deployment))}/predictions"
    parameters = checked(types.PredictionParameters, top_k=top_k, probabilities=probabilities or None)
    rows = encode_rows(inputs)
    if rows.npy is not None:
        # Only what differs from the default: a short URL is read faster than a long one.
        query = query_of(
            top_k=parameters.top_k, probabilities=probabilities or None, user=user, store=None if store else False
        )
        return call(Request("POST", path, query, rows.npy, NPY_CONTENT, options), types.Prediction)
    document: dict[str, Any] = {"inputs": rows.json}
    if parameters.model_fields_set:
        document["parameters"] = parameters.model_dump(exclude_unset=True)
    if user is not None:
        document["user"] = user
    if not store:
        document["store"] = False
    return call(Request("POST", path, (), to_json(document), JSON_CONTENT, options), types.Prediction)


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
        user: str | None = None,
        store: bool = True,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Prediction]:
        """Predict rows; the same as `client.predict`."""
        return predicted(
            deployment,
            inputs,
            top_k=top_k,
            probabilities=probabilities,
            user=user,
            store=store,
            options=options,
        )

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
