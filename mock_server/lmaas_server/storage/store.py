"""Every repository over one database; the object that services are given."""

from __future__ import annotations

from lmaas_server.storage.bell import Bell
from lmaas_server.storage.candidates import CandidateRepository
from lmaas_server.storage.database import Database
from lmaas_server.storage.datasets import DatasetRepository
from lmaas_server.storage.deployment_events import DeploymentEventRepository
from lmaas_server.storage.deployments import DeploymentRepository
from lmaas_server.storage.feedback import FeedbackRepository
from lmaas_server.storage.idempotency import IdempotencyRepository
from lmaas_server.storage.jobs import JobRepository
from lmaas_server.storage.models import ModelRepository
from lmaas_server.storage.observations import ObservationRepository
from lmaas_server.storage.predictions import PredictionRepository
from lmaas_server.storage.verdicts import VerdictRepository

ASK_EVERY_SECONDS = 0.1
"""How soon who waits for an event hears of one that another process has written."""


class Storage:
    """The rows of the service, one repository per noun."""

    def __init__(self, database: Database, *, process: str | None = None) -> None:
        """Take a database whose schema is current (`Database.migrate`).

        `process` is the name of this process where several share the database; omitted, it is alone.
        """
        ask_every = None if process is None else ASK_EVERY_SECONDS
        self.database = database
        self.candidates = CandidateRepository(database)
        self.datasets = DatasetRepository(database)
        self.deployment_events = DeploymentEventRepository(database, bell=Bell(ask_every=ask_every))
        self.deployments = DeploymentRepository(database, bell=self.deployment_events.bell)
        self.feedback = FeedbackRepository(database)
        self.idempotency = IdempotencyRepository(database, owner=process)
        self.jobs = JobRepository(database, bell=Bell(ask_every=ask_every))
        self.models = ModelRepository(database)
        self.observations = ObservationRepository(database)
        self.predictions = PredictionRepository(database)
        self.verdicts = VerdictRepository(database)

    def __repr__(self) -> str:
        return f"Storage({self.database!r})"

    def close(self) -> None:
        """Close the database."""
        self.database.close()
