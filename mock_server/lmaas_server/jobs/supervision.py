"""One attempt of one job: what its process says is written down, and its end is recorded once.

Knows no kind of work. The cases an attempt ends in, in the order of `_ENDINGS`:

1. done        the outcome is kept, sealed against a cancellation, committed, and the job succeeds
2. paused      as asked: paused; because the server stops: queued again
3. cancelled   nothing is left
4. failed      with the code the work gave
5. lost        the process was killed: queued again, RETRIES times, then failed

Whatever the end, a cancellation that was accepted before it stands.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from lmaas_server.engine.reports import Checkpointed, Message, Metrics, Progress
from lmaas_server.errors import ServiceError
from lmaas_server.jobs.diarist import Diarist
from lmaas_server.jobs.kinds import JobKind, Work
from lmaas_server.jobs.outcome import Outcome, keep_outcome, kept_outcome
from lmaas_server.jobs.processes import ForkServer, JobProcess
from lmaas_server.jobs.protocol import Cancelled, Done, Exited, Failed, Paused
from lmaas_server.records import JobRecord
from lmaas_server.storage import Artifacts, Storage

log = logging.getLogger(__name__)

RETRIES = 2
"""How often a job whose process was killed is begun again."""
CANCEL_SECONDS = 5.0
"""After which a process that was told to cancel, and has not, is killed."""


class Supervision:
    """Runs and watches one attempt; `run` is called in a thread of its own."""

    def __init__(
        self,
        job: JobRecord,
        kind: JobKind,
        *,
        storage: Storage,
        artifacts: Artifacts,
        forks: ForkServer,
        clock: Callable[[], float],
        threads: int,
        device: str,
    ) -> None:
        self.job = job
        self._kind = kind
        self._storage = storage
        self._artifacts = artifacts
        self._forks = forks
        self._clock = clock
        self._threads = threads
        self._device = device
        self._lock = threading.Lock()
        self._process: JobProcess | None = None
        self._listens = True
        self._stopping = False
        self._executioner: threading.Timer | None = None
        self._unwanted = False
        self._diary = Diarist(job, storage=storage, artifacts=artifacts, clock=clock)

    def __repr__(self) -> str:
        return f"Supervision({self.job.id}, {self._process})"

    def tell(self, wanted: str) -> None:
        """Pass a wish on to the process; one that is not there yet is given it when it starts."""
        with self._lock:
            self._unwanted = self._unwanted or wanted == "cancel"
            if self._process is None:
                return
            if not self._listens:
                self._process.kill()
                return
            self._process.send({"want": wanted})
            if wanted == "cancel" and self._executioner is None:
                self._executioner = threading.Timer(CANCEL_SECONDS, self._process.kill)
                self._executioner.daemon = True
                self._executioner.start()

    def interrupt(self) -> None:
        """Have the job stop at a checkpoint and be queued again, because the server stops."""
        self._stopping = True
        self.tell("pause")

    def kill(self) -> None:
        """End the process at once; the job is queued again if the server stops."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def run(self) -> None:
        """Do the job, from where it stands to an end or to the queue."""
        try:
            outcome = kept_outcome(self._artifacts, self.job.id) or self._prepared()
            if isinstance(outcome, Work):
                self._attempt(outcome)
            else:
                self._succeed(outcome)
        except ServiceError as exc:
            self._fail(Failed(exc.code, exc.message))
        except Exception as exc:
            if self._stopping:
                self._requeue()
                return
            log.exception("%s failed by a fault of the server", self.job.id)
            self._fail(Failed("internal_error", f"{type(exc).__name__}: {exc}"))

    def _prepared(self) -> Work | Outcome:
        folder = self._artifacts.path(f"jobs/{self.job.id}/inputs")
        return self._kind.prepare(self.job, folder)

    def _attempt(self, work: Work) -> None:
        """Run the work in a process and record how it ended."""
        resume = self._diary.last_checkpoint()
        directory = self._diary.clean_directory()
        spec = {
            **work.spec,
            "entry": work.entry,
            "directory": str(directory),
            "resume": None if resume is None else str(resume),
            "threads": self._threads,
            "device": self._device,
        }
        process = self._forks.fork()
        try:
            process.send(spec)
            self._attend(process, listens=work.listens)
            ending = self._watch(process)
        finally:
            with self._lock:
                self._process = None
                if self._executioner is not None:
                    self._executioner.cancel()
            process.close()
        self._diary.flush()
        _ENDINGS[type(ending)](self, ending)

    def _attend(self, process: JobProcess, *, listens: bool) -> None:
        """Make the process known to whoever has wishes, and pass on those that came before it."""
        with self._lock:
            self._process, self._listens = process, listens
        wanted = self._wanted()
        if wanted or self._stopping:
            self.tell(wanted or "pause")

    def _watch(self, process: JobProcess) -> Done | Paused | Cancelled | Failed | Exited:
        """Write down what the process says until it is gone; return its last word, or how it was lost.

        Once the job is to be cancelled nobody wants its reports: a job of short epochs may be hundreds ahead of the
        pen, and its end would come only after all of them.
        """
        last: Done | Paused | Cancelled | Failed | Exited | None = None
        for said in process.messages():
            if isinstance(said, (Message, Progress, Metrics, Checkpointed)):
                if not self._unwanted:
                    self._diary.write(said)
            elif last is None:
                last = said
        return last or Exited()

    def _succeed(self, outcome: Outcome) -> None:
        job = self.job
        if not self._storage.jobs.seal(job.id):
            self._cancelled(Cancelled())
            return
        commit = self._kind.commit(job, outcome)
        now = self._clock()
        self._storage.jobs.move(
            job.id,
            to="succeeded",
            of=["running"],
            now=now,
            message=commit.message,
            data={"model": commit.model} if commit.model else None,
            finished_at=now,
            model=commit.model or job.model,
            result=commit.result,
            metrics={**self._diary.metrics, **commit.metrics},
        )
        self._artifacts.delete(f"jobs/{job.id}")

    def _done(self, ending: Done) -> None:
        outcome = Outcome(bundle=ending.bundle, model=ending.model, metrics=ending.metrics, result=ending.result)
        self._succeed(keep_outcome(self._artifacts, self.job.id, outcome))

    def _paused(self, _ending: Paused) -> None:
        if self._stopping and self._wanted() != "pause":
            self._requeue()
            return
        self._pause()

    def _pause(self) -> None:
        step = self._diary.step
        self._end("paused", message=f"Paused at step {step}.", data={"step": step}, attempt=0)

    def _cancelled(self, _ending: Cancelled) -> None:
        # Tidied up before it is recorded: the wish is on the record, so a crash in between is no loss.
        discard(self._storage, self._artifacts, self.job.id)
        now = self._clock()
        self._storage.jobs.move(
            self.job.id, to="cancelled", of=["running"], now=now, message="Cancelled.", finished_at=now
        )

    def _fail(self, ending: Failed) -> None:
        error = {"code": ending.code, "message": ending.message}
        message = f"Failed: {ending.message}"
        now = self._clock()
        self._end("failed", message=message, level="error", data={"error": error}, error=error, finished_at=now)
        discard(self._storage, self._artifacts, self.job.id)

    def _lost(self, ending: Exited) -> None:
        if self._wanted() == "pause":
            self._pause()
            return
        if self._stopping:
            self._requeue()
            return
        how = f"killed by signal {ending.signal}" if ending.signal else "gone without a word"
        if self.job.attempt > RETRIES:
            self._fail(Failed("worker_died", f"The process of this job was {how}, {self.job.attempt} times in all."))
            return
        where = f"the checkpoint of step {self._diary.step}" if self._diary.last_checkpoint() else "the beginning"
        self._end("queued", message=f"The process was {how}; the job goes on from {where}.", level="warning")

    def _requeue(self) -> None:
        message = "The server is stopping; this job goes on when it starts again."
        self._end("queued", message=message, attempt=max(0, self.job.attempt - 1))

    def _wanted(self) -> str | None:
        current = self._storage.jobs.get(self.job.id)
        return None if current is None else current.wanted

    def _end(self, to: str, *, message: str, level: str = "info", **fields: Any) -> None:
        """Move the job on, unless a cancellation was accepted in the meantime."""
        moved = self._storage.jobs.move(
            self.job.id,
            to=to,
            of=["running"],
            unless_wanted="cancel",
            now=self._clock(),
            message=message,
            level=level,
            **fields,
        )
        if moved is None:
            self._cancelled(Cancelled())


_ENDINGS: dict[type, Callable[[Supervision, Any], None]] = {
    Done: Supervision._done,  # noqa: SLF001 - the table of this class
    Paused: Supervision._paused,  # noqa: SLF001
    Cancelled: Supervision._cancelled,  # noqa: SLF001
    Failed: Supervision._fail,  # noqa: SLF001
    Exited: Supervision._lost,  # noqa: SLF001
}


def discard(storage: Storage, artifacts: Artifacts, job: str) -> None:
    """Remove what a job that came to nothing has left: its files and its checkpoints."""
    storage.jobs.drop_checkpoints(job)
    artifacts.delete(f"jobs/{job}")
