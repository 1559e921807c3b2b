"""What every service stands on: the data directory with its database and files, and who shares it. Knows no service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lmaas_server.engine.base_models import BaseModels
from lmaas_server.jobs.processes import ForkServer
from lmaas_server.lock import DirectoryLock
from lmaas_server.settings import Settings
from lmaas_server.storage import Artifacts, Database, Storage
from lmaas_server.storage.crew import Crew

__all__ = ["Ground", "ground_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What everything stands on."""

    lock: DirectoryLock | None
    crew: Crew | None
    """The processes that serve the data directory together; None where this one has it to itself."""
    storage: Storage
    artifacts: Artifacts
    base_models: BaseModels
    forks: ForkServer | None
    """What jobs are forked from, where several servers share it."""
    clock: Callable[[], float]


def ground_of(
    settings: Settings,
    *,
    clock: Callable[[], float],
    crew: Crew | None,
    forks: ForkServer | None,
    lock: DirectoryLock | None,
) -> Ground:
    """Take the data directory and bring its database up to date; a failure lets it go again.

    Raises:
        DataDirectoryInUseError: Another server has the data directory.
    """
    if crew is None and lock is None:
        lock = DirectoryLock(settings.data_dir)
    try:
        database = Database(settings.database_url or f"sqlite:///{(settings.data_dir / 'lmaas.db').absolute()}")
        database.migrate()
        artifacts = Artifacts(settings.data_dir / "artifacts")
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    return Ground(
        lock=lock,
        crew=crew,
        storage=Storage(database, process=None if crew is None else crew.name),
        artifacts=artifacts,
        base_models=BaseModels(() if settings.base_models is None else (settings.base_models,)),
        forks=forks,
        clock=clock,
    )
