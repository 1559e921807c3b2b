"""Deployments over HTTP."""

from __future__ import annotations

from typing import Any

from lmaas.types import (
    Deleted,
    Deployment,
    DeploymentCreate,
    DeploymentRevision,
    DeploymentUpdate,
    PromoteRequest,
    RollbackRequest,
)
from lmaas_server.http.operation import Call, operation
from lmaas_server.http.paging import list_of
from lmaas_server.records import DeploymentRecord, RevisionRecord
from lmaas_server.routes.slicing import sliced
from lmaas_server.services.deploying import DeployingService
from lmaas_server.services.policies import guard_of

__all__ = ["DeploymentRoutes"]


class DeploymentRoutes:
    """Endpoints of `/v1/deployments`, predictions aside."""

    def __init__(self, deploying: DeployingService) -> None:
        self._deploying = deploying

    def __repr__(self) -> str:
        return f"DeploymentRoutes({self._deploying!r})"

    @operation(
        "POST", "/v1/deployments", tag="deployments", body=DeploymentCreate, answer=Deployment, errors=(404, 409, 422)
    )
    def create(self, call: Call) -> Deployment:
        """Serve a model, or several variants, under a name; ready once `status` says so."""
        return self._wire(self._deploying.create(call.body, actor=call.caller, request_key=call.request_key))

    @operation("GET", "/v1/deployments", tag="deployments", answer=Deployment, listed=True, errors=(404, 422))
    def list(self, call: Call) -> dict[str, Any]:
        """List the deployments."""
        page = self._deploying.page(call.page)
        return list_of([self._wire(record) for record in page.items], has_more=page.has_more)

    @operation("GET", "/v1/deployments/<deployment>", tag="deployments", answer=Deployment, errors=(404,))
    def retrieve(self, call: Call, deployment: str) -> Deployment:
        """Get a deployment."""
        return self._wire(self._deploying.get(deployment))

    @operation(
        "PATCH",
        "/v1/deployments/<deployment>",
        tag="deployments",
        body=DeploymentUpdate,
        answer=Deployment,
        errors=(404, 409, 422),
    )
    def update(self, call: Call, deployment: str) -> Deployment:
        """Change what is named and leave the rest; new variants make a new revision and are switched to at once."""
        record = self._deploying.change(deployment, call.body, actor=call.caller, request_key=call.request_key)
        return self._wire(record)

    @operation("DELETE", "/v1/deployments/<deployment>", tag="deployments", answer=Deleted, errors=(404,))
    def delete(self, call: Call, deployment: str) -> Deleted:
        """Delete a deployment; requests under way are answered, its predictions and feedback stay."""
        self._deploying.delete(deployment)
        return Deleted(id=deployment, object="deployment", deleted=True)

    @operation(
        "POST",
        "/v1/deployments/<deployment>/promote",
        tag="deployments",
        body=PromoteRequest,
        answer=Deployment,
        errors=(404, 409, 422),
    )
    def promote(self, call: Call, deployment: str) -> Deployment:
        """Make a canary, a candidate that waits, a shadow or any other version the champion; it is switched to at once.

        Omitted, `model` is the only canary, or else what the newest update with `promote: manual` has made of the
        champion.
        """
        body: PromoteRequest = call.body
        record = self._deploying.promote(
            deployment,
            body.model,
            reason=body.reason,
            actor=call.caller,
            request_key=call.request_key,
            if_revision=body.if_revision,
        )
        return self._wire(record)

    @operation(
        "POST",
        "/v1/deployments/<deployment>/rollback",
        tag="deployments",
        body=RollbackRequest,
        answer=Deployment,
        errors=(404, 409, 422),
    )
    def rollback(self, call: Call, deployment: str) -> Deployment:
        """Serve the variants of an earlier revision again; they answer as they did, bit for bit."""
        body: RollbackRequest = call.body
        record = self._deploying.rollback(
            deployment,
            revision=body.revision,
            reason=body.reason,
            actor=call.caller,
            request_key=call.request_key,
            if_revision=body.if_revision,
        )
        return self._wire(record)

    @operation(
        "GET",
        "/v1/deployments/<deployment>/revisions",
        tag="deployments",
        answer=DeploymentRevision,
        listed=True,
        errors=(404, 422),
    )
    def revisions(self, call: Call, deployment: str) -> dict[str, Any]:
        """List the history of a deployment's variants: who changed them, when and why."""
        history = [_revision(record) for record in self._deploying.revisions(deployment)]
        items, more = sliced(history, call.page)
        return list_of(items, has_more=more)

    def _wire(self, record: DeploymentRecord) -> Deployment:
        return Deployment.model_validate(
            {
                "id": record.name,
                "name": record.name,
                "status": record.status,
                "variants": [*record.variants],
                "revision": record.revision,
                "batching": record.batching,
                "update_policy": record.update_policy,
                "guard": guard_of(record).model_dump(),
                "stats": self._deploying.stats(record.name),
                "error": record.error,
                "metadata": record.metadata,
                "created_at": record.created_at,
            }
        )


def _revision(record: RevisionRecord) -> DeploymentRevision:
    return DeploymentRevision.model_validate(
        {
            "id": f"{record.deployment}:{record.revision}",
            "deployment": record.deployment,
            "revision": record.revision,
            "variants": [*record.variants],
            "reason": record.reason,
            "actor": record.actor,
            "cause": record.cause,
            "created_at": record.created_at,
        }
    )
