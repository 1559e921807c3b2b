"""Storage, a runner and the services over them, without HTTP; scripted jobs beside the real kinds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from lmaas_server.engine.data.examples import ReadLimits
from lmaas_server.engine.data.reader import read_dataset
from lmaas_server.jobs.kinds import Work
from lmaas_server.jobs.runner import JobRunner
from lmaas_server.records import DatasetRecord, DeploymentRecord, FeedbackRecord, JobRecord, PredictionRecord
from lmaas_server.services.evaluating import EvaluationService
from lmaas_server.services.job_kinds import job_kinds
from lmaas_server.services.jobs import JobService
from lmaas_server.services.promoting import Promoter
from lmaas_server.services.sources import Sources
from lmaas_server.services.training import TrainingKind, TrainingService
from lmaas_server.services.updating import UpdateKind, UpdateService
from lmaas_server.settings import Settings
from lmaas_server.storage import Artifacts, Database, Storage, sweep

PARTS = Path(__file__).parent


class ScriptedKind(TrainingKind):
    """A training whose work is a script."""

    def prepare(self, job, folder):
        folder.mkdir(parents=True, exist_ok=True)
        listens = job.request.get("listens", True)
        return Work(entry="scripted_work:run", spec={"script": job.request["script"]}, listens=listens)


class ScriptedUpdate(UpdateKind):
    """An update whose feedback is packed and whose candidate is promoted, but whose learning is a script."""

    def prepare(self, job, folder):
        found = super().prepare(job, folder)
        return (
            Work(entry="scripted_work:run", spec={"script": [["finish", "better", VERDICT]]})
            if isinstance(found, Work)
            else found
        )


VERDICT = {"promoted": True, "reason": "promoted", "gate": None, "feedback_used": 8, "feedback_held_out": 2}


@dataclass
class World:
    """A server of jobs."""

    storage: Storage
    artifacts: Artifacts
    runner: JobRunner
    jobs: JobService
    training: TrainingService
    evaluating: EvaluationService
    updating: UpdateService

    @classmethod
    def over(cls, folder, *, forks=None, max_jobs=1, scripted_updates=False):
        """The world in a folder, not started."""
        database = Database(f"sqlite:///{folder / 'lmaas.db'}")
        database.migrate()
        storage, artifacts = Storage(database), Artifacts(folder / "artifacts")
        sources = Sources(storage, artifacts, max_unpacked_bytes=2**30)
        clock = time.time
        kinds = dict(job_kinds(storage, artifacts, sources, flush=lambda: None, warm=lambda model: None, clock=clock))
        kinds["scripted"] = ScriptedKind(storage, artifacts, sources, clock=clock)
        if scripted_updates:
            promoter = Promoter(storage, warm=lambda model: None, clock=clock)
            kinds["update"] = ScriptedUpdate(
                storage, artifacts, sources, flush=lambda: None, promoter=promoter, clock=clock
            )
        settings = Settings(data_dir=folder, max_jobs=max_jobs, job_threads=1)
        runner = JobRunner(storage, artifacts, kinds=kinds, settings=settings, clock=clock, forks=forks)
        return cls(
            storage,
            artifacts,
            runner,
            JobService(storage, runner, clock=clock),
            TrainingService(storage, sources, runner, memory_limit_bytes=2**32, clock=clock),
            EvaluationService(storage, sources, runner, clock=clock),
            UpdateService(storage, sources, runner, clock=clock),
        )

    def start(self):
        """Tidy up and begin, as a server does."""
        sweep(self.storage, self.artifacts)
        self.runner.start()
        return self

    def restart(self):
        """Run on with a new runner over the same storage, after the old one was stopped."""
        old = self.runner
        self.runner = JobRunner(
            self.storage, self.artifacts, kinds=old._kinds, settings=old._settings, clock=time.time, forks=old._forks
        )
        self.runner.start()

    def close(self):
        """Stop everything."""
        self.runner.stop(drain=0)
        self.storage.close()

    def keep_dataset(self, id="ds-1", rows=200, seed=0):
        """Store points of two classes, told apart by their first coordinate."""
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(rows, 4)).astype(np.float32)
        temp = self.artifacts.new_temp(".npz")
        np.savez(temp, x=x, y=(x[:, 0] > 0).astype(np.int64))
        found = read_dataset(temp, limits=ReadLimits(max_unpacked_bytes=2**20))
        self.artifacts.adopt_file(temp, f"datasets/{id}")
        kept = {"name": "points", "format": "npz", "bytes": 1, "sha256": "", "rows": rows, "created_at": 1.0}
        return self.storage.datasets.add(DatasetRecord(id=id, input=found.input, target=found.target, **kept))

    def deploy(self, model, name="reader"):
        """Have a version serve."""
        variants = ({"model": model, "weight": 1.0, "role": "champion"},)
        fields = {"status": "ready", "revision": 1, "batching": {}, "metadata": {}, "created_at": 1.0}
        return self.storage.deployments.create(DeploymentRecord(name=name, variants=variants, **fields))

    def tell(self, count=100, *, bytes_of=None, kind="label"):
        """Log predictions of ten rows each and say of every row the opposite of what was learned."""
        rng = np.random.default_rng(7)
        for number in range(count // 10):
            rows = rng.normal(size=(10, 4)).astype(np.float32)
            prediction = PredictionRecord(
                id=f"pred-{number}",
                deployment="reader",
                model="m@1",
                outputs=[{"label": int(row[0] > 0), "score": 1.0} for row in rows],
                rows=10,
                created_at=1.0,
                inputs=bytes_of(rows) if bytes_of else orjson.dumps({"inputs": rows.tolist()}),
                inputs_type="application/x-npy" if bytes_of else "application/json",
            )
            self.storage.predictions.add_many([prediction])
            said = [int(row[0] <= 0) if kind == "label" else "hm" for row in rows]
            self.storage.feedback.add_many([_item(prediction, i, kind, value) for i, value in enumerate(said)])

    def script(self, *lines, name="m", id="job-1", **request):
        """Queue a job that does what the lines say."""
        lines = [line if isinstance(line, (list, tuple)) else [line] for line in lines]
        request = {"name": name, "dataset": "ds-1", "base_model": None, "script": lines, **request}
        record = JobRecord(id=id, type="scripted", status="queued", created_at=time.time(), request=request, seed=0)
        self.storage.jobs.add(record)
        self.runner.wake()
        return record.id

    def until(self, job, wanted, timeout=60.0):
        """Wait until an event is what is wanted - a status, or the text of a message - and return it."""
        seen, end = 0, time.monotonic() + timeout
        while time.monotonic() < end:
            events, ended = self.jobs.follow(job, after_seq=seen, timeout=end - time.monotonic())
            for event in events:
                seen = event.seq
                if wanted in {event.data.get("status"), event.message}:
                    return event
            if ended:
                break
        raise AssertionError(f"{wanted!r} never came; there was {[e.message for e in self.storage.jobs.events(job)]}")

    def statuses(self, job):
        """Every status the job has had, in order."""
        return [e.data["status"] for e in self.storage.jobs.events(job) if e.type == "status"]

    def left_by(self, job):
        """The files a job still has, once its supervision is over."""
        with self.runner._news:
            self.runner._news.wait_for(lambda: job not in self.runner._active, 30)
        return list(self.artifacts.path(f"jobs/{job}").rglob("*"))


def _item(prediction, index, kind, value):
    return FeedbackRecord(
        id=f"fb-{prediction.id}-{index}",
        prediction_id=prediction.id,
        index=index,
        kind=kind,
        value=value,
        weight=1.0,
        source=None,
        metadata={},
        deployment="reader",
        model="m@1",
        created_at=1.0,
    )
