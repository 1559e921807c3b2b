"""Deployments: versions put behind a name, changed, rolled back and taken away. Knows no HTTP and no request.

A deployment is `starting` until its versions are loaded and warm, which a thread of this service does; a change of one
that serves loads the new versions first and then switches in one step, so that nobody is refused meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from lmaas.types import BatchingSpec, DeploymentCreate, DeploymentUpdate, VariantSpec
from lmaas_server.errors import InvalidError, MissingError, ServiceError
from lmaas_server.records import DeploymentRecord, Json, PageRequest, RevisionRecord
from lmaas_server.services.keeping import Keeping
from lmaas_server.services.observing import Observer
from lmaas_server.services.policies import changed_policies, stored_guard, stored_policy
from lmaas_server.services.predictors import Predictors
from lmaas_server.services.promoting import candidate_of
from lmaas_server.services.revising import Plan, Reviser, promotion, retreat, revision_mismatch
from lmaas_server.services.routing import deployment_missing
from lmaas_server.services.variants import champion_of, check_alike, check_together
from lmaas_server.storage import Page, Storage

__all__ = ["DeployingService"]

logger = logging.getLogger("lmaas_server")


class DeployingService:
    """Puts models to work."""

    def __init__(
        self,
        storage: Storage,
        *,
        predictors: Predictors,
        keeping: Keeping,
        observer: Observer,
        clock: Callable[[], float],
    ) -> None:
        self._storage = storage
        self._keeping = keeping
        self._predictors = predictors
        self._observer = observer
        self._clock = clock
        self._reviser = Reviser(storage, load=predictors.ready, clock=clock)
        self._loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="deploying")
        predictors.watch(self.keep_way_back)

    def __repr__(self) -> str:
        return f"DeployingService({self._storage!r})"

    def start(self) -> None:
        """Go on with the deployments that were starting when the server stopped."""
        for record in self._storage.deployments.all():
            if record.status == "starting":
                self._loader.submit(self._make_ready, record.name)

    def close(self) -> None:
        """Stop loading; what was starting goes on at the next start."""
        self._loader.shutdown(wait=True, cancel_futures=True)

    def create(self, request: DeploymentCreate, *, actor: str, request_key: str | None = None) -> DeploymentRecord:
        """Store a deployment and begin to load its models.

        Raises:
            MissingError: `model_not_found`.
            ConflictError: `deployment_exists`.
            InvalidError: `variants_invalid`, `variants_incompatible`, `policy_invalid`.
        """
        if (request.model is None) == (request.variants is None):
            message = "Give either `model` or `variants`, not both and not neither."
            raise InvalidError(message, code="variants_invalid", param="model")
        record = DeploymentRecord(
            name=request.name,
            status="starting",
            variants=self._variants(request.model, request.variants),
            revision=1,
            batching=(request.batching or BatchingSpec()).model_dump(),
            metadata=dict(request.metadata),
            update_policy=stored_policy(request.update_policy),
            guard=stored_guard(request.guard),
            created_at=self._clock(),
            request_key=request_key,
        )
        record = self._storage.deployments.create(record, actor=actor)
        if record.status == "starting":
            self._loader.submit(self._make_ready, record.name)
        return record

    def get(self, name: str) -> DeploymentRecord:
        """Return a deployment.

        Raises:
            MissingError: `deployment_not_found`.
        """
        if (record := self._storage.deployments.get(name)) is None:
            raise deployment_missing(name)
        return record

    def page(self, page: PageRequest) -> Page[DeploymentRecord]:
        """Return one page of the deployments."""
        return self._storage.deployments.page(page)

    def stats(self, name: str) -> Json:
        """Return what a deployment has done."""
        kept = {"predictions": self._storage.predictions.count(name), "feedback": self._storage.feedback.count(name)}
        return {**kept, **self._observer.summary(name)}

    def change(
        self, name: str, request: DeploymentUpdate, *, actor: str, request_key: str | None = None
    ) -> DeploymentRecord:
        """Change what is named and leave the rest; new variants make a new revision.

        Raises:
            MissingError: `deployment_not_found`, `model_not_found`.
            ConflictError: `revision_mismatch`; `model_unusable`, a new model cannot be loaded: the old ones serve on.
            InvalidError: `variants_invalid`, `variants_incompatible`, `policy_invalid`.
        """
        if request.model is not None and request.variants is not None:
            message = "Give either `model` or `variants`, not both."
            raise InvalidError(message, code="variants_invalid", param="variants")
        record = self.get(name)
        if request.if_revision is not None and request_key is None and request.if_revision != record.revision:
            raise revision_mismatch(record, request.if_revision)
        fields = changed_policies(request)
        if request.batching is not None:
            fields["batching"] = request.batching.model_dump()
        if request.metadata is not None:
            fields["metadata"] = dict(request.metadata)
        if request.model is not None or request.variants is not None:
            variants = self._variants(request.model, request.variants)
            self._load(variants)
            record = self._storage.deployments.set_variants(
                name,
                variants,
                reason=request.reason or "Changed.",
                now=self._clock(),
                actor=actor,
                request_key=request_key,
                if_revision=request.if_revision,
            )
            fields |= {} if record.status == "ready" else {"status": "ready", "error": None}
        elif request.if_revision is not None and request.if_revision != record.revision:
            raise revision_mismatch(record, request.if_revision)
        return self._storage.deployments.update(name, **fields) if fields else record

    def promote(
        self,
        name: str,
        model: str | None = None,
        *,
        reason: str | None = None,
        actor: str,
        request_key: str | None = None,
        if_revision: int | None = None,
    ) -> DeploymentRecord:
        """Make a version champion in place of the one it learned from, or else of the one with the largest share.

        It takes that one's share and its own; the others keep theirs. What it learned from counts as applied from then
        on. A version that is the champion already changes nothing.

        Args:
            name: The deployment.
            model: A version, or a reference to one; omitted, the candidate that `candidate_of` finds.
            reason: Why, for people.
            actor: Who wants it.
            request_key: The same key promotes once.
            if_revision: Refuse if the deployment is at another revision.

        Raises:
            MissingError: `deployment_not_found`, `model_not_found`.
            ConflictError: `revision_mismatch`, `candidate_ambiguous`, `nothing_to_promote`, `model_unusable`.
            InvalidError: `variants_incompatible`: it takes or gives something else than the champion.
        """

        def planned(current: DeploymentRecord) -> Plan | None:
            models = self._storage.models
            candidate = models.resolve(candidate_of(self._storage, current) if model is None else model)
            champion = champion_of(current)
            champions = [v["model"] for v in current.variants if v["role"] == "champion"]
            if candidate.id == champion in champions:
                return None
            if (serving := models.get(champion)) is not None:
                check_alike(candidate, serving, param="model")
            parent = candidate.lineage.get("parent")
            before = parent if parent in champions else champion
            why = reason or f"Promoted {candidate.id}."
            return promotion(current, candidate.id, reason=why, actor=actor, instead_of=before)

        return self._reviser.revise(name, planned, actor=actor, request_key=request_key, if_revision=if_revision)

    def rollback(
        self,
        name: str,
        *,
        revision: int | None = None,
        reason: str | None = None,
        actor: str,
        request_key: str | None = None,
        if_revision: int | None = None,
        canary: str | None = None,
    ) -> DeploymentRecord:
        """Make the variants of an earlier revision the newest revision, as a person or as the server itself.

        Omitted, `revision` is the newest that served otherwise and has no version that the server took back since.
        Where `actor` is the server (`revising.SERVER`) it is what serves now without its canaries, or without `canary`.

        Raises:
            MissingError: `deployment_not_found`, `revision_not_found`.
            ConflictError: `nothing_to_roll_back`; `revision_mismatch`; `model_gone`, a version of it was deleted.
        """

        def planned(current: DeploymentRecord) -> Plan:
            known = self._storage.deployments.revisions(name)
            history = [record for record in known if record.revision <= current.revision]
            return retreat(history, revision=revision, reason=reason, actor=actor, canary=canary)

        return self._reviser.revise(name, planned, actor=actor, request_key=request_key, if_revision=if_revision)

    def revisions(self, name: str) -> Sequence[RevisionRecord]:
        """Return the history of a deployment's variants, newest first."""
        self.get(name)
        return self._storage.deployments.revisions(name)

    def delete(self, name: str) -> None:
        """Take a deployment away; requests under way are answered, later ones are told that it is gone.

        Raises:
            MissingError: `deployment_not_found`.
        """
        if not self._storage.deployments.delete(name):
            raise deployment_missing(name)
        self._observer.forget(name)

    def _variants(self, model: str | None, specs: Sequence[VariantSpec] | None) -> tuple[Json, ...]:
        """Resolve every reference to a version; an alias means the version it points at now."""
        given = specs if specs is not None else (VariantSpec(model=str(model)),)
        models = [
            self._storage.models.resolve(spec.model, param="model" if specs is None else f"variants[{place}].model")
            for place, spec in enumerate(given)
        ]
        check_together(given, models)
        return tuple(
            {"model": record.id, "weight": spec.weight, "role": spec.role}
            for spec, record in zip(given, models, strict=True)
        )

    def _load(self, variants: Sequence[Json]) -> None:
        for variant in variants:
            self._predictors.ready(variant["model"])

    def keep_way_back(self, model: str) -> None:
        """Load what a rollback from a version would bring back, in this service's thread, if there is room for it."""
        with contextlib.suppress(RuntimeError):  # the service was closed
            self._loader.submit(self._load_behind, model)

    def _load_behind(self, model: str) -> None:
        try:
            for name in self._keeping.behind(model):
                record = self._storage.models.get(name)
                if record is not None and self._predictors.has_room(record.bytes):
                    self._predictors.ready(name)
        except Exception:
            logger.exception("what a rollback from %s brings back is loaded when it is asked", model)

    def _make_ready(self, name: str) -> None:
        """Load the versions of a deployment; runs in this service's thread, and nobody waits for what it raises."""
        try:
            self._load(self.get(name).variants)
            self._storage.deployments.set_status(name, "ready")
        except MissingError as exc:
            if exc.code != "deployment_not_found":
                self._fail(name, exc)
        except Exception as exc:
            logger.exception("the deployment %s could not be started", name)
            self._fail(name, exc)

    def _fail(self, name: str, exc: Exception) -> None:
        code = exc.code if isinstance(exc, ServiceError) else "model_unusable"
        try:
            self._storage.deployments.set_status(name, "failed", error={"code": code, "message": str(exc)})
        except MissingError:
            logger.info("the deployment %s was deleted while it started", name)
