"""Which versions are to stay in memory: those that serve, and those a rollback would bring back. Knows no weights."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from lmaas_server.errors import ConflictError
from lmaas_server.services.history import way_back
from lmaas_server.services.variants import models_of
from lmaas_server.storage import Storage

__all__ = ["ONE_ROLLBACK_AWAY", "SERVES", "Keeping"]

SERVES = 2
ONE_ROLLBACK_AWAY = 1


class Keeping:
    """Tells how dear versions are, from the deployments and their histories; looks again where one has changed."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._generation = -1
        self._dear: Mapping[str, int] = {}

    def __repr__(self) -> str:
        return f"Keeping({len(self._dear)} versions)"

    def dear(self) -> Mapping[str, int]:
        """Return how dear each version is: `SERVES`, or `ONE_ROLLBACK_AWAY`; all others are not in it."""
        with self._lock:
            generation = self._storage.deployments.generation
            if generation != self._generation:
                self._dear, self._generation = self._looked_up(), generation
            return self._dear

    def behind(self, model: str) -> frozenset[str]:
        """Return the versions that a rollback of a deployment that `model` serves in would bring back."""
        found = frozenset[str]()
        for name in self._storage.deployments.serving(model):
            found |= self._behind(name)
        return found - {model}

    def _looked_up(self) -> dict[str, int]:
        deployments = self._storage.deployments.all()
        dear = {model: ONE_ROLLBACK_AWAY for record in deployments for model in self._behind(record.name)}
        return dear | {model: SERVES for record in deployments for model in models_of(record.variants)}

    def _behind(self, name: str) -> frozenset[str]:
        history = self._storage.deployments.revisions(name)
        try:
            return models_of(way_back(history).variants) if history else frozenset()
        except ConflictError:
            return frozenset()  # there is no way back
