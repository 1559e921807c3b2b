"""What jobs are made of - datasets and versions - looked up, and described for a job's process. Knows no HTTP."""

from __future__ import annotations

from pathlib import Path

import orjson

from lmaas_server.engine.base_models import BaseModels
from lmaas_server.errors import MissingError
from lmaas_server.records import DatasetRecord, Json, ModelRecord
from lmaas_server.services.models import bundle_key
from lmaas_server.storage import Artifacts, Storage

__all__ = ["Sources", "described"]


class Sources:
    """Datasets and model versions as jobs need them."""

    def __init__(
        self,
        storage: Storage,
        artifacts: Artifacts,
        *,
        max_unpacked_bytes: int,
        max_memory_bytes: int = 256 << 20,
        base_models: BaseModels | None = None,
    ) -> None:
        """Take the stores; without `base_models`, the one that is shipped."""
        self._storage = storage
        self._artifacts = artifacts
        self._max_unpacked_bytes = max_unpacked_bytes
        self._max_memory_bytes = max_memory_bytes
        self.base_models = base_models or BaseModels()

    def __repr__(self) -> str:
        return f"Sources({self._storage!r})"

    def dataset(self, id: str, *, param: str = "dataset") -> DatasetRecord:
        """Return a dataset.

        Raises:
            MissingError: `dataset_not_found`, naming the field that asked for it.
        """
        record = self._storage.datasets.get(id)
        if record is None:
            message = f"There is no dataset {id!r}; upload it, or list those there are with GET /v1/datasets."
            raise MissingError(message, code="dataset_not_found", param=param)
        return record

    def dataset_spec(self, id: str, *, param: str = "dataset") -> Json:
        """Return what a process needs to read a dataset.

        Raises:
            MissingError: `dataset_not_found`.
        """
        record = self.dataset(id, param=param)
        return {
            "id": record.id,
            "name": record.name,
            "path": str(self._artifacts.path(f"datasets/{record.id}")),
            "format": record.format,
            "input": record.input,
            "target": record.target,
            "max_unpacked_bytes": self._max_unpacked_bytes,
            "max_memory_bytes": self._max_memory_bytes,
        }

    def model(self, reference: str, *, param: str = "model") -> ModelRecord:
        """Return a version.

        Raises:
            MissingError: `model_not_found`, naming what there is.
        """
        return self._storage.models.resolve(reference, param=param)

    def bundle(self, reference: str, *, param: str = "model") -> str:
        """Return where a version's bundle is.

        Raises:
            MissingError: `model_not_found`.
        """
        return str(self._artifacts.path(bundle_key(self.model(reference, param=param))))

    def origin(self, bundle: Path) -> str | None:
        """Return what the training of a bundle began from; None where it began from nothing, or is no language model's.

        Raises:
            MissingError: `model_not_found`, `base_model_not_found`: it is gone.
        """
        training = orjson.loads((bundle / "bundle.json").read_bytes()).get("training", {})
        if training.get("task") != "generation":
            return None
        if version := training.get("base_model"):
            return self.bundle(version, param="base_model")
        name = training["architecture"].get("base_model")
        return str(self.base_models.get(name).directory) if name else None


def described(record: DatasetRecord) -> Json:
    """Return what planning asks of a dataset."""
    return {"input": record.input, "target": record.target, "rows": record.rows}
