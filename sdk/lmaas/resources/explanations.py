"""Explanations: why a deployment answers rows as it does. Knows no drawing and no transport."""

from __future__ import annotations

from typing import Any

from lmaas import types
from lmaas._arrays import plain
from lmaas._encode import checked, json_rows, to_json
from lmaas._flow import call
from lmaas._request import CallOptions, Flow, Request
from lmaas.resources._ids import JSON_CONTENT, DeploymentRef, id_of, segment


def explained(
    deployment: DeploymentRef,
    inputs: Any,
    *,
    target: types.Label | None,
    method: types.ExplanationMethod | None,
    user: str | None,
    options: CallOptions,
) -> Flow[types.Explanation]:
    """Send rows and return their explanations."""
    request = checked(types.ExplanationRequest, inputs=json_rows(inputs), method=method, user=user)
    if target is not None:  # a class may be a word, which `checked` would take for a kind of target
        request = request.model_copy(update={"target": plain(target)})
    path = f"/v1/deployments/{segment(id_of(deployment))}/explanations"
    body = to_json(request.model_dump(exclude_unset=True))
    return call(Request("POST", path, (), body, JSON_CONTENT, options), types.Explanation)
