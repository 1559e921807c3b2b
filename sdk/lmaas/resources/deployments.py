"""Deployments: names under which model versions serve. Knows no prediction and no transport."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import EllipsisType
from typing import Any, Generic, Literal, TypeAlias, Unpack

from lmaas import types
from lmaas._encode import checked, encoded
from lmaas._events import followed, listed
from lmaas._flow import DriverT, Raw, Resource, call, endpoint
from lmaas._listing import Listing, list_query, listing
from lmaas._request import CallOptions, Flow, Now, Request, Sleep, query_of
from lmaas._sse import ServerEvent
from lmaas._stream import EmitFlow, streaming
from lmaas.errors import ConflictError, DeploymentFailedError
from lmaas.resources._ids import JSON_CONTENT, READY_TIMEOUT, DeploymentRef, ModelRef, derived, id_of, model_id, segment

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
        deployment = yield from call(_sending("POST", "/v1/deployments", create, options), types.Deployment)
    except ConflictError as conflict:
        if conflict.code != "deployment_exists":
            raise
        request = _sending("PATCH", path_of(name), update, derived(options, "update"))
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


def _sending(
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


class Deployments(Resource[DriverT], Generic[DriverT]):
    """Names that serve predictions, each by one version or several that share the traffic."""

    @property
    def with_raw_response(self) -> Deployments[Raw[DriverT]]:
        """The same methods, giving status, headers and body beside the value."""
        return Deployments(self.core.as_raw())

    @endpoint
    def create(
        self,
        *,
        name: str,
        model: ModelRef | None = None,
        variants: Variants | None = None,
        batching: types.BatchingSpec | dict[str, Any] | None = None,
        update_policy: Policy | None = None,
        guard: GuardLike | None = None,
        metadata: dict[str, str] | None = None,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Deployment]:
        """Create a deployment of `model`, or of `variants` that share the traffic by weight; do not wait for it.

        `update_policy` says when it learns from feedback of its own accord, `guard` when a canary is taken back.

        Raises:
            ConflictError: There is one of that name; `update` it, or use `client.deploy`, which does either.
        """
        message = checked(
            types.DeploymentCreate,
            name=name,
            model=None if model is None else model_id(model),
            variants=variants,
            batching=batching,
            update_policy=update_policy,
            guard=guard,
            metadata=metadata,
        )
        return call(_sending("POST", "/v1/deployments", message, options), types.Deployment)

    @listing
    def list(
        self,
        *,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        **options: Unpack[CallOptions],
    ) -> Listing[types.Deployment]:
        """List all deployments, newest first, `limit` to a page."""
        return Listing(
            "/v1/deployments", types.Page[types.Deployment], list_query(after=after, limit=limit, order=order), options
        )

    @endpoint
    def retrieve(self, deployment: DeploymentRef, **options: Unpack[CallOptions]) -> Flow[types.Deployment]:
        """Return the deployment as it is now."""
        return call(Request("GET", path_of(deployment), options=options), types.Deployment)

    @endpoint
    def update(
        self,
        deployment: DeploymentRef,
        *,
        model: ModelRef | None = None,
        variants: Variants | None = None,
        batching: types.BatchingSpec | dict[str, Any] | None = None,
        update_policy: Policy | EllipsisType | None = ...,
        guard: GuardLike | None = None,
        metadata: dict[str, str] | None = None,
        if_revision: int | None = None,
        reason: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Deployment]:
        """Change what is named and leave the rest; other variants make a new revision.

        `update_policy` and `guard` are replaced whole; `update_policy=None` takes the policy away, and `GuardSpec()`
        is the guard that a deployment has by default.

        Raises:
            ConflictError: `if_revision` is not the current one: somebody else changed it.
        """
        message = checked(
            types.DeploymentUpdate,
            model=None if model is None else model_id(model),
            variants=variants,
            batching=batching,
            update_policy=None if update_policy is ... else update_policy,
            guard=guard,
            metadata=metadata,
            if_revision=if_revision,
            reason=reason,
        )
        cleared = {"update_policy": None} if update_policy is None else None
        return call(_sending("PATCH", path_of(deployment), message, options, exactly=cleared), types.Deployment)

    @endpoint
    def delete(self, deployment: DeploymentRef, **options: Unpack[CallOptions]) -> Flow[types.Deleted]:
        """Stop serving under this name; the models stay."""
        return call(Request("DELETE", path_of(deployment), options=options), types.Deleted)

    @endpoint
    def promote(
        self,
        deployment: DeploymentRef,
        model: ModelRef | None = None,
        *,
        reason: str | None = None,
        if_revision: int | None = None,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Deployment]:
        """Make a version the champion, in place of the one it learned from, and return the deployment.

        It takes that one's share of the traffic and its own; other versions keep theirs. The feedback it learned from
        counts as applied from then on. What is champion already stays so.

        Args:
            deployment: The deployment or its name.
            model: A version, the job that made it, or its name; omitted, the only canary, or else the candidate of the
                newest update with `promote="manual"`.
            reason: Why, for the revision and the event.
            if_revision: Refuse if the deployment is at another revision: somebody else changed it.
            **options: extra_headers, timeout, idempotency_key.

        Raises:
            ConflictError: Several canaries could be meant, or there is no candidate; or `if_revision` is not current.
            NotFoundError: There is no such deployment or version.
            UnprocessableEntityError: The version takes or gives something else than the champion.
        """
        message = checked(
            types.PromoteRequest,
            model=None if model is None else model_id(model),
            reason=reason,
            if_revision=if_revision,
        )
        return call(_sending("POST", f"{path_of(deployment)}/promote", message, options), types.Deployment)

    @endpoint
    def rollback(
        self,
        deployment: DeploymentRef,
        *,
        revision: int | None = None,
        reason: str | None = None,
        if_revision: int | None = None,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Deployment]:
        """Serve again what an earlier revision served, as a new revision; outputs are the same to the bit.

        Args:
            deployment: The deployment or its name.
            revision: Which; omitted, the newest that served otherwise than now and has no version that the server
                itself took back.
            reason: Why, for the revision and the event.
            if_revision: Refuse if the deployment is at another revision: somebody else changed it.
            **options: extra_headers, timeout, idempotency_key.

        Raises:
            ConflictError: There is nothing to go back to, a version of it was deleted, or `if_revision` is not current.
            NotFoundError: There is no such deployment or revision.
        """
        message = checked(types.RollbackRequest, revision=revision, reason=reason, if_revision=if_revision)
        return call(_sending("POST", f"{path_of(deployment)}/rollback", message, options), types.Deployment)

    @listing
    def revisions(
        self,
        deployment: DeploymentRef,
        *,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        **options: Unpack[CallOptions],
    ) -> Listing[types.DeploymentRevision]:
        """List the history of the deployment's variants, newest first."""
        query = list_query(after=after, limit=limit, order=order)
        return Listing(f"{path_of(deployment)}/revisions", types.Page[types.DeploymentRevision], query, options)

    @endpoint
    def stats(
        self, deployment: DeploymentRef, *, window: str | float | None = None, **options: Unpack[CallOptions]
    ) -> Flow[types.DeploymentStats]:
        """Return what the deployment has done: requests, latency, confidence, accuracy, feedback, drift, by version.

        `print(stats)` shows it as a table.

        Args:
            deployment: The deployment or its name.
            window: How far back: seconds, or `"5m"`, `"1h"`, `"7d"`, at most 90 days; omitted, an hour. Figures are
                kept by the minute, beyond two days by the hour, and the window begins with a full one.
            **options: extra_headers, timeout, idempotency_key.

        Raises:
            NotFoundError: There is no such deployment.
            UnprocessableEntityError: `window` is no length of time, or out of range.
        """
        request = Request("GET", f"{path_of(deployment)}/stats", query_of(window=window), options=options)
        return call(request, types.DeploymentStats)

    @streaming
    def follow_stats(
        self, deployment: DeploymentRef, *, window: str | float | None = None, **options: Unpack[CallOptions]
    ) -> EmitFlow[types.DeploymentStats]:
        """Give the stats now and whenever they changed, at most once a second, best in a `with` block.

        A stream that breaks off is opened again and begins with the stats as they are then; it ends with the
        deployment.

        Args:
            deployment: The deployment or its name.
            window: As for `stats`.
            **options: extra_headers, timeout, idempotency_key.

        Raises:
            APIConnectionError: The stream broke off and could not be taken up again.
        """
        path = f"{path_of(deployment)}/stats"
        return followed(path, _stats, options=options, query=query_of(window=window))

    @streaming
    def events(
        self,
        deployment: DeploymentRef,
        *,
        follow: bool = False,
        after: types.DeploymentEvent | None = None,
        **options: Unpack[CallOptions],
    ) -> EmitFlow[types.DeploymentEvent]:
        """Give what happened to the deployment in order, best in a `with` block; with `follow`, live until it goes.

        A stream that breaks off is taken up after the last event seen: none is missed, none comes twice.

        Args:
            deployment: The deployment or its name.
            follow: Wait for events to come; omitted, only those that are there.
            after: Begin after this event.
            **options: extra_headers, timeout, idempotency_key.

        Raises:
            APIConnectionError: The stream broke off and could not be taken up again.
        """
        path = f"{path_of(deployment)}/events"
        if follow:
            return followed(path, _event, options=options, last_id=None if after is None else str(after.seq))
        query = list_query(after=None if after is None else after.id, limit=1000, order="asc")
        return listed(Listing(path, types.Page[types.DeploymentEvent], query, options))

    @endpoint
    def wait(
        self,
        deployment: DeploymentRef,
        *,
        timeout: float | None = READY_TIMEOUT,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Flow[types.Deployment]:
        """Wait until the deployment is ready and return it.

        Raises:
            DeploymentFailedError: It failed or was stopped, or is not ready in time.
        """
        options = CallOptions() if extra_headers is None else CallOptions(extra_headers=extra_headers)
        return awaited(id_of(deployment), timeout=timeout, options=options)


def _stats(event: ServerEvent) -> types.DeploymentStats:
    return types.DeploymentStats.model_validate_json(event.data)


def _event(event: ServerEvent) -> types.DeploymentEvent:
    return types.DeploymentEvent.model_validate_json(event.data)
