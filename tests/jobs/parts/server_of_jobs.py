"""A server of jobs that kills itself at a named point: `python server_of_jobs.py FOLDER POINT MODULES`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from job_world import World

from lmaas_server.jobs.processes import ForkServer


def die():
    os.kill(os.getpid(), signal.SIGKILL)
    threading.Event().wait()


def before(subject, name):
    """Die instead of calling a method."""
    setattr(subject, name, lambda *_, **__: die())


def after(subject, name):
    """Call a method, and die before it returns."""
    method = getattr(subject, name)

    def wrapped(*args, **kwargs):
        method(*args, **kwargs)
        die()

    setattr(subject, name, wrapped)


def before_success(world):
    move = world.storage.jobs.move
    world.storage.jobs.move = lambda job, *, to, **rest: die() if to == "succeeded" else move(job, to=to, **rest)


def after_success(world):
    delete = world.artifacts.delete
    ended = {"succeeded", "failed", "cancelled"}

    def wrapped(key):
        if key.startswith("jobs/") and world.storage.jobs.get(key.split("/")[1]).status in ended:
            die()
        return delete(key)

    world.artifacts.delete = wrapped


POINTS = {
    "nowhere": lambda world: None,
    "before the outcome is kept": lambda world: before(world.artifacts, "adopt_directory"),
    "after the outcome is kept": lambda world: before(world.storage.jobs, "seal"),
    "before the files are placed": lambda world: before(world.artifacts, "link_directory"),
    "between the files and the row": lambda world: after(world.artifacts, "link_directory"),
    "after the row": lambda world: after(world.storage.models, "add_version"),
    "before success is recorded": before_success,
    "before the job's files are removed": after_success,
    "after a checkpoint": lambda world: after(world.storage.jobs, "add_checkpoint"),
    "between a checkpoint and its row": lambda world: before(world.storage.jobs, "add_checkpoint"),
    "while it learns its metrics": lambda world: after(world.storage.jobs, "update"),
    "after the promotion": lambda world: after(world.storage.deployments, "set_variants"),
    "after the feedback is noted": lambda world: after(world.storage.candidates, "note"),
}


def main():
    folder, point, *modules = sys.argv[1:]
    real = modules == ["all"]
    world = World.over(Path(folder), forks=None if real else ForkServer(preload=modules), scripted_updates=not real)
    POINTS[point](world)
    world.start()
    sys.stdout.write("started\n")
    sys.stdout.flush()
    threading.Event().wait()


main()
