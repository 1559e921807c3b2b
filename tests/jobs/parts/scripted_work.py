"""Work that does what a script says, one verb after the other: what a job's process can do, without torch.

A checkpoint is the number of the next verb. Verbs that wait, wait for the server's wishes and nothing else.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

from lmaas_server.engine.reports import Cancelled, Checkpointed, Message, Metrics, Paused, Progress
from lmaas_server.errors import InvalidError
from lmaas_server.jobs.protocol import Done


class Script:
    """One run of a script."""

    def __init__(self, spec, control):
        self.control = control
        self.directory = Path(spec["directory"])
        self.marks = self.directory.parent
        self.lines = spec["script"]
        self.next = int((Path(spec["resume"]) / "next").read_text()) if spec["resume"] else 0

    def run(self):
        while self.next < len(self.lines):
            verb, *arguments = self.lines[self.next]
            self.next += 1
            yield from getattr(self, verb)(*arguments)

    def say(self, text):
        yield Message("info", text)

    def pid(self):
        main, spins = sys.modules["__main__"].__file__, os.environ.get("GOMP_SPINCOUNT")
        said = {"pid": os.getpid(), "group": os.getpgid(0), "main": main, "spins": spins, "directory": str(Path.cwd())}
        yield Message("info", "pid", said)

    def step(self, step, steps):
        yield Progress(step, steps, 0, 1)

    def measure(self, epoch, **values):
        yield Metrics(epoch, epoch, {"loss": 1 / epoch})

    def save(self):
        folder = self.directory / f"state-{self.next}"
        folder.mkdir()
        (folder / "next").write_text(str(self.next))
        yield Checkpointed(self.next, 0, {}, folder, 1)

    def obey(self):
        """Wait for a wish and do it."""
        while (wish := self.control()) is None:
            select.select([], [], [], 0.002)
        if wish == "cancel":
            raise Cancelled
        yield from self.save()
        raise Paused

    def rush(self, reports):
        """Wait for a wish, and say much before it is done."""
        while self.control() is None:
            select.select([], [], [], 0.002)
        for number in range(1, reports + 1):
            yield Metrics(number, number, {"loss": 1 / number})
        raise Cancelled

    def ignore(self):
        """Go on for ever, whatever is wished."""
        yield Message("info", "deaf")
        while True:
            select.select([], [], [], 60)

    def die(self, times=10**9):
        """Be killed, the first `times` that this line is reached."""
        marks = len(list(self.marks.glob("died-*")))
        if marks < times:
            (self.marks / f"died-{marks}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield from ()

    def fail(self, code, message):
        raise InvalidError(message, code=code)

    def crash(self, name):
        raise {"memory": MemoryError, "bug": ZeroDivisionError}[name]("as the script says")

    def leave(self):
        os._exit(3)

    def finish(self, text="weights", result=None):
        bundle = self.directory / "bundle"
        bundle.mkdir()
        (bundle / "bundle.json").write_text("{}")
        (bundle / "weights.safetensors").write_text(text)
        described = {
            "task": "classification",
            "architecture": {"type": "mlp"},
            "input": {},
            "target": {},
            "parameters": 1,
            "sha256": text,
            "bytes": len(text),
        }
        yield Done(bundle, {"accuracy": 1.0}, result or {"epochs": 1}, described)


def run(spec, control):
    """Do what the script says."""
    return Script(spec, control).run()
