"""What all nouns share: an object wherever an id is asked for, and their content types. Knows no endpoint."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar
from urllib.parse import quote

from lmaas import types
from lmaas._request import CallOptions
from lmaas.errors import InvalidRequestError

DatasetRef: TypeAlias = "types.Dataset | str"
JobRef: TypeAlias = "types.Job | str"
ModelRef: TypeAlias = "types.Model | types.Job | str"
DeploymentRef: TypeAlias = "types.Deployment | str"
PredictionRef: TypeAlias = "types.Prediction | str"
FeedbackRef: TypeAlias = "types.Feedback | str"

JSON_CONTENT = {"content-type": "application/json"}
ANY_CONTENT = {"accept": "*/*"}
READY_TIMEOUT = 300.0
"""Seconds a deployment may take to become ready."""

AnyRef = TypeVar("AnyRef", "types.Dataset", "types.Job", "types.Deployment", "types.Prediction", "types.Feedback")


def id_of(noun: AnyRef | str) -> str:
    """Return the id of an object, or the id itself."""
    ident: Any = noun if isinstance(noun, str) else noun.id
    if not isinstance(ident, str) or not ident:
        raise InvalidRequestError(f"an id is a string that is not empty, not {ident!r}", param="id")
    return ident


def model_id(model: ModelRef) -> str:
    """Return the id of a version: a model's own, or of the one a job made."""
    if isinstance(model, str | types.Model):
        ident = model if isinstance(model, str) else model.id
        if ident:
            return ident
        raise InvalidRequestError("the id of a model is a string that is not empty, such as 'digits@1'", param="model")
    if model.model is None:
        raise InvalidRequestError(
            f"{model.id} has made no model (it is {model.status}); wait for it with client.jobs.wait", param="model"
        )
    return model.model


def segment(ident: str) -> str:
    """Return an id as a segment of a path."""
    return quote(ident, safe="@")


def derived(options: CallOptions, part: str) -> CallOptions:
    """Return the options for a part of a call: a key of its own, made from the call's key if there is one."""
    key = options.get("idempotency_key")
    return options if key is None else with_key(options, f"{key}-{part}")


def with_key(options: CallOptions, key: str) -> CallOptions:
    """Return the options with this idempotency key."""
    keyed = options.copy()
    keyed["idempotency_key"] = key
    return keyed
