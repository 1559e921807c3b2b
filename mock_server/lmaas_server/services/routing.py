"""Which version answers: deployments in memory, read again when one of them changed. Knows no model's weights.

The choice is by weighted rendezvous hashing (Thaler and Ravishankar 1998; Schindelhauer and Schomaker 2005 for the
logarithm that makes it follow weights): every version draws -ln(u) / weight, where u is the hash of itself with the
user, and the smallest answers. What a version draws depends on no other version, so a change of one share moves only
those users whom that version gains or loses.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from types import MappingProxyType

from lmaas_server.errors import ConflictError, MissingError, UnavailableError
from lmaas_server.records import DeploymentRecord
from lmaas_server.storage import Storage

__all__ = ["Route", "RoutingTable", "check_ready", "deployment_missing"]


@dataclass(frozen=True, slots=True)
class Route:
    """A deployment as a request meets it: its answering variants, their weights, and the shadows beside them."""

    record: DeploymentRecord
    models: tuple[str, ...]
    weights: tuple[float, ...]
    shadows: tuple[str, ...]
    roles: Mapping[str, str]
    """Of every variant, shadows too."""

    @classmethod
    def of(cls, record: DeploymentRecord) -> Route:
        """Read the variants; a shadow answers nobody."""
        answering = [v for v in record.variants if v["role"] != "shadow" and v["weight"] > 0]
        return cls(
            record=record,
            models=tuple(v["model"] for v in answering),
            weights=tuple(float(v["weight"]) for v in answering),
            shadows=tuple(v["model"] for v in record.variants if v["role"] == "shadow"),
            roles=MappingProxyType({v["model"]: v["role"] for v in record.variants}),
        )

    def choose(self, key: str) -> str:
        """Return the version for this user or request: the same key meets the same version while shares stay."""
        if len(self.models) == 1:
            return self.models[0]
        # The deployment's name is hashed too, so that a user is not in the canary of every deployment at once.
        prefix = f"{self.record.name}\0{key}\0"
        draws = [_draw(prefix + model, weight) for model, weight in zip(self.models, self.weights, strict=True)]
        return self.models[draws.index(min(draws))]


def _draw(text: str, weight: float) -> float:
    """Return a number from the exponential distribution of rate `weight`, the same for the same text."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return -math.log((int.from_bytes(digest, "big") + 1) / 2**64) / weight


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

    def names(self) -> list[str]:
        """Return the deployments that are known here."""
        with self._lock:
            return list(self._routes)

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
