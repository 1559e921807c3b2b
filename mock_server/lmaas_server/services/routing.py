"""Which version answers: deployments in memory, read again when one of them changed. Knows no model's weights."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from types import MappingProxyType

from lmaas_server.errors import ConflictError, MissingError, UnavailableError
from lmaas_server.records import DeploymentRecord
from lmaas_server.storage import Storage

__all__ = ["Route", "RoutingTable", "check_ready", "deployment_missing"]


@dataclass(frozen=True, slots=True)
class Route:
    """A deployment as a request meets it: its answering variants and the bounds of their shares."""

    record: DeploymentRecord
    models: tuple[str, ...]
    bounds: tuple[float, ...]
    roles: Mapping[str, str]
    """Of every variant, shadows too."""

    @classmethod
    def of(cls, record: DeploymentRecord) -> Route:
        """Read the variants; a shadow answers nobody."""
        answering = [v for v in record.variants if v["role"] != "shadow" and v["weight"] > 0]
        bounds = tuple(accumulate(float(v["weight"]) for v in answering))
        roles = MappingProxyType({v["model"]: v["role"] for v in record.variants})
        return cls(record, tuple(v["model"] for v in answering), bounds, roles)

    def choose(self, key: str) -> str:
        """Return the version for this user or request: the same key meets the same version while shares stay."""
        if len(self.models) == 1:
            return self.models[0]
        # The deployment's name is hashed too, so that a user is not in the canary of every deployment at once.
        digest = blake2b(f"{self.record.name}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        point = int.from_bytes(digest, "big") / 2**64 * self.bounds[-1]
        return self.models[min(bisect_right(self.bounds, point), len(self.models) - 1)]


class RoutingTable:
    """The deployments this process has met, forgotten whenever any of them changes."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._generation = -1
        self._routes: dict[str, Route] = {}

    def __repr__(self) -> str:
        return f"RoutingTable({sorted(self._routes)})"

    def get(self, name: str) -> Route:
        """Return the way to a deployment.

        Raises:
            MissingError: `deployment_not_found`.
        """
        generation = self._storage.deployments.generation
        routes = self._routes
        if generation == self._generation and (known := routes.get(name)) is not None:
            return known
        record = self._storage.deployments.get(name)
        if record is None:
            raise deployment_missing(name)
        route = Route.of(record)
        with self._lock:
            if generation != self._generation:
                self._routes, self._generation = {}, generation
            self._routes[name] = route
        return route

    def role(self, name: str, model: str) -> str | None:
        """Return the present role of a version in a deployment; None if it has none there."""
        try:
            return self.get(name).roles.get(model)
        except MissingError:
            return None


def deployment_missing(name: str) -> MissingError:
    """Return the error about a deployment that is not, or no longer, there."""
    message = f"There is no deployment {name!r}, or no longer; list them with GET /v1/deployments."
    return MissingError(message, code="deployment_not_found", param="deployment")


def check_ready(route: Route) -> None:
    """Refuse a deployment that does not serve.

    Raises:
        UnavailableError: `deployment_starting`.
        ConflictError: `deployment_failed`, `deployment_stopped`.
    """
    record = route.record
    if record.status == "ready":
        return
    if record.status == "starting":
        message = f"The deployment {record.name!r} is starting; its model is being loaded. Try again in a moment."
        raise UnavailableError(message, code="deployment_starting", retry_after=0.2)
    why = f": {record.error['message']}" if record.error else ""
    message = f"The deployment {record.name!r} is {record.status}{why}. Give it another model, or delete it."
    raise ConflictError(message, code=f"deployment_{record.status}")
