"""The memory of the service: rows in a database and files in a store; knows no HTTP and no torch."""

from lmaas_server.storage.artifacts import Artifacts
from lmaas_server.storage.database import Database
from lmaas_server.storage.idempotency import Begun, Replay
from lmaas_server.storage.paging import Page
from lmaas_server.storage.store import Storage
from lmaas_server.storage.sweeping import sweep

__all__ = ["Artifacts", "Begun", "Database", "Page", "Replay", "Storage", "sweep"]
