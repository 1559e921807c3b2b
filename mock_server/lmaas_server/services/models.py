"""The registry of model versions: reading, naming and removing them. Knows no HTTP, no torch and no training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lmaas_server.errors import ConflictError, InvalidError, MissingError
from lmaas_server.records import Json, ModelRecord, PageRequest
from lmaas_server.services.lineage import Ancestor, ancestry
from lmaas_server.services.packed import packed
from lmaas_server.storage import Artifacts, Page, Storage

__all__ = ["ModelService", "bundle_key"]

MAX_VERSION = 10**9


class ModelService:
    """Keeps model versions and the aliases that point at them."""

    def __init__(self, storage: Storage, artifacts: Artifacts, *, clock: Callable[[], float]) -> None:
        self._storage = storage
        self._artifacts = artifacts
        self._clock = clock

    def __repr__(self) -> str:
        return f"ModelService({self._artifacts!r})"

    def get(self, reference: str) -> ModelRecord:
        """Return the version that an id, `NAME@ALIAS` or `NAME` (the newest) means.

        Raises:
            MissingError: `model_not_found`, naming what there is.
        """
        return self._storage.models.resolve(reference)

    def page(self, page: PageRequest, *, name: str | None = None, alias: str | None = None) -> Page[ModelRecord]:
        """Return one page of the versions."""
        return self._storage.models.page(page, name=name, alias=alias)

    def weights(self, reference: str) -> tuple[ModelRecord, Path]:
        """Return a version and where its weights are (safetensors)."""
        record = self.get(reference)
        return record, self._artifacts.path(f"{bundle_key(record)}/weights.safetensors")

    def lineage(self, reference: str, *, limit: int) -> tuple[Ancestor, ...]:
        """Return the version and those it comes from, one after the other.

        Raises:
            MissingError: `model_not_found`, naming what there is.
        """
        return ancestry(self._storage, self.get(reference), limit=limit)

    def delete(self, reference: str) -> ModelRecord:
        """Remove a version, its aliases and its files; its number is never given again.

        Raises:
            MissingError: `model_not_found`.
            ConflictError: `model_in_use`, a deployment serves it or a job that has not ended needs it.
        """
        record = self.get(reference)
        if names := self._storage.deployments.serving(record.id):
            message = f"The model {record.id} is in use by the deployment {names[0]!r}; change or delete that first."
            raise ConflictError(message, code="model_in_use")
        for job in self._storage.jobs.with_status("queued", "running", "paused"):
            # An update goes on though its deployment is gone, and then nothing else holds the version it began from.
            if record.id in _models_of(job.request) | {(packed(self._artifacts, job) or {}).get("champion")}:
                message = (
                    f"The model {record.id} is in use by {job.id} ({job.status}); wait for it to end, or cancel it."
                )
                raise ConflictError(message, code="model_in_use")
        self._storage.models.delete(record.id)
        self._artifacts.delete(bundle_key(record))
        return record

    def set_alias(self, name: str, alias: str, version: int) -> ModelRecord:
        """Point an alias at a version and return the version.

        Raises:
            InvalidError: `alias_reserved`.
            MissingError: `model_not_found`.
        """
        if not 1 <= version <= MAX_VERSION:
            message = f"`version` is the number of a version of {name!r}, from 1, not {version}."
            raise InvalidError(message, code="invalid_value", param="version")
        return self._storage.models.set_alias(name, alias, version, now=self._clock())

    def drop_alias(self, name: str, alias: str) -> None:
        """Remove an alias; the version stays.

        Raises:
            MissingError: `alias_not_found`.
        """
        if not self._storage.models.drop_alias(name, alias):
            message = f"The model {name!r} has no alias {alias!r}; GET /v1/models?name={name} shows its aliases."
            raise MissingError(message, code="alias_not_found", param="alias")


def bundle_key(record: ModelRecord) -> str:
    """Where a version's bundle lies in the artifact store."""
    return f"models/{record.name}/{record.version}"


def _models_of(request: Json) -> set[object]:
    return {request.get("model"), request.get("base_model")}
