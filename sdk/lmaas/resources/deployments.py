"""Deployments: names under which model versions serve. Knows no prediction and no transport."""

from __future__ import annotations

from collections.abc import Mapping
from types import EllipsisType
from typing import Any, Generic, Literal, Unpack

from lmaas import types
from lmaas._encode import checked
from lmaas._events import followed
from lmaas._flow import DriverT, Raw, Resource, call, endpoint
from lmaas._listing import Listing, list_query, listing
from lmaas._request import CallOptions, Flow, Request, query_of
from lmaas._sse import ServerEvent
from lmaas._stream import EmitFlow, streaming
from lmaas.resources._deploying import GuardLike, Policy, Variants, awaited, path_of, sending
from lmaas.resources._diary import entries
from lmaas.resources._ids import READY_TIMEOUT, DeploymentRef, ModelRef, id_of, model_id


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
        return call(sending("POST", "/v1/deployments", message, options), types.Deployment)

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
        return call(sending("PATCH", path_of(deployment), message, options, exactly=cleared), types.Deployment)

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
        return call(sending("POST", f"{path_of(deployment)}/promote", message, options), types.Deployment)

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
        return call(sending("POST", f"{path_of(deployment)}/rollback", message, options), types.Deployment)

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
        path, pages = f"{path_of(deployment)}/events", types.Page[types.DeploymentEvent]
        return entries(path, types.DeploymentEvent, pages, follow=follow, after=after, options=options)

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
