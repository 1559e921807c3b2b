"""Notices what other processes have changed of deployments: routes are read anew at once, models loaded beside it.

Knows no process but its own: what has changed is told by the database.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from lmaas_server.errors import ServiceError
from lmaas_server.records import DeploymentRecord, PageRequest
from lmaas_server.services.observing import Observer
from lmaas_server.services.predictors import Predictors
from lmaas_server.services.routing import RoutingTable
from lmaas_server.storage import Storage

__all__ = ["Noticing"]

logger = logging.getLogger("lmaas_server")

_NEWEST = 8
"""Deployments this process has not met, and loads because they are about to be asked."""


class Noticing:
    """Compares how often deployments were changed with how often they were when it last looked."""

    def __init__(self, storage: Storage, *, routes: RoutingTable, predictors: Predictors, observer: Observer) -> None:
        self._storage = storage
        self._routes = routes
        self._predictors = predictors
        self._observer = observer
        self._seen = storage.deployments.changes()
        # A thread of its own: what takes long to load must not keep the next change from being seen.
        self._loader = ThreadPoolExecutor(1, "noticing")

    def __repr__(self) -> str:
        return f"Noticing({self._seen} changes)"

    def look(self) -> None:
        """Take notice of what has changed; costs one look into an index where nothing has."""
        changes = self._storage.deployments.changes()
        if changes == self._seen:
            return
        self._seen = changes
        met = self._routes.names()
        self._storage.deployments.refresh()
        self._loader.submit(self._load, met)

    def close(self) -> None:
        """Load no more."""
        self._loader.shutdown(wait=True, cancel_futures=True)

    def _load(self, met: Iterable[str]) -> None:
        try:
            newest = self._storage.deployments.page(PageRequest(limit=_NEWEST, order="desc")).items
            for record in newest:
                self._load_models(record)
            for name in set(met) - {record.name for record in newest}:
                if (found := self._storage.deployments.get(name)) is None:
                    self._observer.forget(name)
                else:
                    self._load_models(found)
        except Exception:
            logger.exception("what another process has deployed is loaded when it is asked")

    def _load_models(self, record: DeploymentRecord) -> None:
        if record.status != "ready":
            return
        for variant in record.variants:
            try:
                self._predictors.ready(variant["model"])
            except ServiceError as exc:
                logger.warning("%s of %s cannot be loaded: %s", variant["model"], record.name, exc)
