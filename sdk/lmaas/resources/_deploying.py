"""How a deployment is made or changed, and waited for until it is ready. Knows no prediction and no transport."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from lmaas import types
from lmaas._encode import checked, encoded
from lmaas._flow import call
from lmaas._request import CallOptions, Flow, Now, Request, Sleep
from lmaas.errors import ConflictError, DeploymentFailedError
from lmaas.resources._ids import JSON_CONTENT, DeploymentRef, ModelRef, derived, id_of, model_id, segment

FIRST_POLL = 0.05
GROWTH = 1.5
LONGEST_POLL = 1.0

Variants: TypeAlias = "Sequence[types.VariantSpec | dict[str, Any]]"
Policy: TypeAlias = "types.UpdatePolicySpec | dict[str, Any]"
GuardLike: TypeAlias = "types.GuardSpec | dict[str, Any]"


def made_ready(
    name: str,
    *,
    model: ModelRef | None,
    variants: Variants | None,
    batching: types.BatchingSpec | dict[str, Any] | None,
    update_policy: Policy | None,
    guard: GuardLike | None,
    metadata: dict[str, str] | None,
    reason: str | None,
    ready_timeout: float | None,
    options: CallOptions,
) -> Flow[types.Deployment]:
    """Create the deployment, or give the one of that name a new revision; return it once it is ready."""
    fields: dict[str, Any] = {
        "model": None if model is None else model_id(model),
        "variants": variants,
        "batching": batching,
        "update_policy": update_policy,
        "guard": guard,
        "metadata": metadata,
    }
    create = checked(types.DeploymentCreate, name=name, **fields)
    update = checked(types.DeploymentUpdate, reason=reason, **fields)
    try:
        deployment = yield from call(sending("POST", "/v1/deployments", create, options), types.Deployment)
    except ConflictError as conflict:
        if conflict.code != "deployment_exists":
            raise
        request = sending("PATCH", path_of(name), update, derived(options, "update"))
        deployment = yield from call(request, types.Deployment)
    return (yield from awaited(deployment, timeout=ready_timeout, options=options))


def awaited(deployment: DeploymentRef, *, timeout: float | None, options: CallOptions) -> Flow[types.Deployment]:
    """Return the deployment once it is ready: asks after 50 ms, then 1.5 times as long each time up to 1 s.

    Raises:
        DeploymentFailedError: It failed or was stopped, or is not ready in time.
    """
    start: float = yield Now()
    delay = FIRST_POLL
    current = deployment
    while True:
        if isinstance(current, str):
            current = yield from call(Request("GET", path_of(current), options=options), types.Deployment)
        if current.status == "ready":
            return current
        if current.status in {"failed", "stopped"}:
            reason = (current.error or {}).get("message") or "the server gave no reason"
            raise DeploymentFailedError(f"{current.name} is {current.status}: {reason}", deployment=current)
        now: float = yield Now()
        if timeout is not None and now - start >= timeout:
            raise DeploymentFailedError(
                f"{current.name} is still {current.status} after {timeout:g} s", deployment=current
            )
        yield Sleep(delay)
        delay = min(LONGEST_POLL, delay * GROWTH)
        current = current.name


def path_of(deployment: DeploymentRef) -> str:
    """Return the path of a deployment."""
    return f"/v1/deployments/{segment(id_of(deployment))}"


def sending(
    method: str,
    path: str,
    message: types.WireRequest,
    options: CallOptions,
    *,
    exactly: Mapping[str, Any] | None = None,
) -> Request:
    """Return the request; a guard's nulls, which are limits taken away, are sent along."""
    guard: types.GuardSpec | None = getattr(message, "guard", None)
    exact = {**(exactly or {}), **({} if guard is None else {"guard": guard.model_dump(mode="json")})}
    return Request(method, path, body=encoded(message, exactly=exact), headers=JSON_CONTENT, options=options)
