"""Where everything is wired: settings in, a Flask application out. Nothing else makes a service."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from flask import Flask

from lmaas_server.ground import Ground, ground_of
from lmaas_server.http.auth import ApiKeys, is_loopback
from lmaas_server.http.gateway import Gateway
from lmaas_server.http.idempotency import Idempotency
from lmaas_server.http.sse import Streams
from lmaas_server.jobs.processes import ForkServer
from lmaas_server.jobs.runner import JobRunner
from lmaas_server.lock import DirectoryLock
from lmaas_server.routes.base_models import BaseModelRoutes
from lmaas_server.routes.datasets import DatasetRoutes
from lmaas_server.routes.deployments import DeploymentRoutes
from lmaas_server.routes.documentation import DocumentationRoutes
from lmaas_server.routes.explanations import ExplanationRoutes
from lmaas_server.routes.feedback import FeedbackRoutes
from lmaas_server.routes.health import HealthRoutes
from lmaas_server.routes.jobs import JobRoutes
from lmaas_server.routes.models import ModelRoutes
from lmaas_server.routes.observations import ObservationRoutes
from lmaas_server.routes.predictions import PredictionRoutes
from lmaas_server.routes.uploads import UploadRoutes
from lmaas_server.server import Server, metrics_of
from lmaas_server.services.batching import Batchers
from lmaas_server.services.collecting import CollectingService
from lmaas_server.services.crew_log import CrewLog
from lmaas_server.services.crew_sums import CrewSums
from lmaas_server.services.datasets import DatasetService
from lmaas_server.services.deploying import DeployingService
from lmaas_server.services.evaluating import EvaluationService
from lmaas_server.services.explaining import ExplainingService
from lmaas_server.services.guarding import CanaryGuard
from lmaas_server.services.job_kinds import job_kinds
from lmaas_server.services.jobs import JobService
from lmaas_server.services.keeping import Keeping
from lmaas_server.services.models import ModelService
from lmaas_server.services.noticing import Noticing
from lmaas_server.services.observing import Observer
from lmaas_server.services.predicting import PredictingService
from lmaas_server.services.prediction_log import PredictionLog
from lmaas_server.services.predictors import Predictors, loader_of
from lmaas_server.services.pretrained import PretrainedService
from lmaas_server.services.routing import RoutingTable
from lmaas_server.services.self_updating import SelfUpdates
from lmaas_server.services.shadowing import Shadows
from lmaas_server.services.sources import Sources
from lmaas_server.services.stats import StatsService
from lmaas_server.services.stewarding import Steward
from lmaas_server.services.text_feedback import TextFeedback
from lmaas_server.services.training import TrainingService
from lmaas_server.services.updating import UpdateService
from lmaas_server.services.uploads import UploadService
from lmaas_server.settings import Settings
from lmaas_server.several import limiter, prewarming, several_of
from lmaas_server.storage import Storage
from lmaas_server.storage.crew import Crew
from lmaas_server.storage.uploads import UploadFiles

__all__ = ["Server", "create_app", "server_of"]

MIB = 2**20
_NAME = "lmaas"


def create_app(
    settings: Settings | None = None,
    *,
    clock: Callable[[], float] = time.time,
    crew: Crew | None = None,
    forks: ForkServer | None = None,
    lock: DirectoryLock | None = None,
) -> Flask:
    """Return the application over the settings' data directory; `server_of(app).start()` sets it to work.

    Args:
        settings: Omitted, those of the environment.
        clock: Unix seconds.
        crew: The processes that serve the data directory together, which one of them or their parent has locked;
            omitted, this one has it to itself.
        forks: What jobs are forked from, where several servers share it; omitted, one of its own.
        lock: On the data directory, to be let go when the server closes; omitted, it is taken here.

    Raises:
        ValueError: There are no keys, and the host is one that others can reach.
        DataDirectoryInUseError: Another server has the data directory.
    """
    settings = settings or Settings()
    keys = ApiKeys(key.get_secret_value() for key in settings.api_keys)
    if not settings.api_keys and not is_loopback(settings.host):
        raise ValueError(
            f"host is {settings.host}, which others can reach, and there are no API keys; "
            "set LMAAS_SERVER_API_KEYS (comma-separated), or bind to 127.0.0.1"
        )
    ground = ground_of(settings, clock=clock, crew=crew, forks=forks, lock=lock)
    server, routes = _wired(settings, ground)
    app = Flask("lmaas_server", static_folder=None)
    app.url_map.strict_slashes = False
    app.extensions[_NAME] = server
    metrics = metrics_of(server)
    gateway = Gateway(
        app,
        keys=keys,
        limiter=limiter(settings, crew),
        idempotency=Idempotency(server.storage.idempotency, clock=clock),
        metrics=metrics,
        new_temp=server.artifacts.new_temp,
        max_body=settings.max_body_mb * MIB,
        max_upload=settings.max_upload_mb * MIB,
        is_draining=server.draining.is_set,
    )
    health = HealthRoutes(metrics, not_ready=server.not_ready)
    for noun in (*routes, health, DocumentationRoutes(_document, _page)):
        gateway.add(noun)
    return app


def server_of(app: Flask) -> Server:
    """Return what stands behind an application that `create_app` made."""
    server: Server = app.extensions[_NAME]
    return server


def _wired(settings: Settings, ground: Ground) -> tuple[Server, tuple[object, ...]]:
    """Make every service and the routes over them, from the ground up."""
    storage, artifacts, crew, clock = ground.storage, ground.artifacts, ground.crew, ground.clock
    draining = threading.Event()
    streams = Streams(max(1, settings.threads // 2), is_draining=draining.is_set)
    table = RoutingTable(storage)
    sums = None if crew is None else CrewSums(crew)
    observer = Observer(
        storage,
        role=table.role,
        clock=clock,
        watches=lambda: crew is None or crew.leads,
        others=lambda: () if sums is None else sums.others("observer"),
    )
    log = PredictionLog(storage.predictions.add_many, crew=None if crew is None else CrewLog(crew))
    texts = TextFeedback(storage, artifacts)
    keeping = Keeping(storage)
    load = loader_of(artifacts, device=settings.device)
    predictors = Predictors(storage, load, budget=settings.predictors_mb * MIB, dear=keeping.dear)
    runner, updating, job_routes = _jobs(settings, ground, streams=streams, flush=log.flush, warm=predictors.ready)
    deploying = DeployingService(storage, predictors=predictors, keeping=keeping, observer=observer, clock=clock)
    steward = _steward(storage, runner, updating, deploying, observer, clock=clock)
    shadows = Shadows(predictors=predictors, observer=observer, most=settings.max_shadowed)
    predicting = PredictingService(
        storage,
        routes=table,
        predictors=predictors,
        batchers=Batchers(max_callers=settings.max_waiting, max_wait=settings.max_wait_seconds),
        log=log,
        observer=observer,
        shadows=shadows,
        clock=clock,
    )
    collecting = CollectingService(storage, log=log, texts=texts, observer=observer, heard=steward.wake, clock=clock)
    datasets, uploads = _files(settings, ground, runner)
    several = None
    if crew is not None and sums is not None:
        sums.add("observer", observer.state)
        noticing = Noticing(storage, routes=table, predictors=predictors, observer=observer)
        several = several_of(crew, sums=sums, noticing=noticing, storage=storage, runner=runner, steward=steward)
    server = Server(
        settings=settings,
        storage=storage,
        artifacts=artifacts,
        runner=runner,
        steward=steward,
        uploads=uploads,
        deploying=deploying,
        predictors=predictors,
        log=log,
        observer=observer,
        shadows=shadows,
        streams=streams,
        clock=clock,
        lock=ground.lock,
        draining=draining,
        several=several,
    )
    routes = (
        DatasetRoutes(datasets),
        UploadRoutes(uploads),
        job_routes,
        ModelRoutes(ModelService(storage, artifacts, clock=clock)),
        BaseModelRoutes(PretrainedService(ground.base_models)),
        DeploymentRoutes(deploying),
        ObservationRoutes(StatsService(storage, observer=observer, clock=clock), streams=streams, clock=clock),
        PredictionRoutes(predicting, collecting=collecting, streams=streams),
        ExplanationRoutes(ExplainingService(routes=table, predictors=predictors, clock=clock)),
        FeedbackRoutes(collecting),
    )
    return server, routes


def _jobs(
    settings: Settings,
    ground: Ground,
    *,
    streams: Streams,
    flush: Callable[[], None],
    warm: Callable[[str], object],
) -> tuple[JobRunner, UpdateService, JobRoutes]:
    """Make the runner of jobs and what asks it for work."""
    storage, artifacts, clock = ground.storage, ground.artifacts, ground.clock
    sources = Sources(
        storage,
        artifacts,
        max_unpacked_bytes=settings.max_unpacked_mb * MIB,
        max_memory_bytes=settings.read_memory_mb * MIB,
        base_models=ground.base_models,
    )
    kinds = job_kinds(storage, artifacts, sources, flush=flush, warm=warm, clock=clock)
    runner = JobRunner(storage, artifacts, kinds=kinds, settings=settings, clock=clock, forks=ground.forks)
    memory = settings.job_memory_mb * MIB
    updating = UpdateService(storage, sources, runner, clock=clock)
    routes = JobRoutes(
        JobService(storage, runner, clock=clock),
        training=TrainingService(storage, sources, runner, memory_limit_bytes=memory, clock=clock),
        evaluating=EvaluationService(storage, sources, runner, clock=clock),
        updating=updating,
        streams=streams,
    )
    return runner, updating, routes


def _files(settings: Settings, ground: Ground, runner: JobRunner) -> tuple[DatasetService, UploadService]:
    """Make what takes files in, whole or in parts."""
    datasets = DatasetService(
        ground.storage,
        ground.artifacts,
        max_unpacked_bytes=settings.max_unpacked_mb * MIB,
        max_memory_bytes=settings.read_memory_mb * MIB,
        max_clip_seconds=settings.max_clip_seconds,
        # Who uploads is about to train: by then the process that forks jobs has imported torch.
        announce=prewarming(runner, ground.crew) if settings.prewarm else _nothing,
        clock=ground.clock,
    )
    uploads = UploadService(
        UploadFiles(ground.artifacts),
        datasets,
        part_bytes=settings.upload_part_kb * 1024,
        max_bytes=settings.max_upload_mb * MIB,
        max_open=settings.max_uploads,
        lifetime=settings.upload_hours * 3600,
        clock=ground.clock,
    )
    return datasets, uploads


def _steward(
    storage: Storage,
    runner: JobRunner,
    updating: UpdateService,
    deploying: DeployingService,
    observer: Observer,
    *,
    clock: Callable[[], float],
) -> Steward:
    """Make the steward, and have it woken by what may call for it."""
    chores = (
        CanaryGuard(storage, deploying=deploying, observer=observer, clock=clock),
        SelfUpdates(storage, updating, clock=clock),
    )
    steward = Steward(storage, chores, clock=clock)
    observer.watch(lambda alarm: steward.wake([alarm.deployment]))
    runner.listen(lambda job: steward.wake([job.deployment] if job.deployment else []))
    return steward


def _nothing() -> None:
    """Prepare nothing."""


def _document() -> bytes:
    from lmaas_server.openapi import document_bytes  # late: few ask for it

    return document_bytes()


def _page() -> bytes:
    from lmaas_server.docs_page import page_bytes

    return page_bytes()
