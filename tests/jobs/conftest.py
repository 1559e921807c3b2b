"""Fork servers shared by the session - a bare one for scripts, a warm one for real work - and worlds over them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PARTS = Path(__file__).parent / "parts"
sys.path.insert(0, str(PARTS))

from job_world import World  # noqa: E402 - found once its folder is on the path

from lmaas_server.jobs.processes import ForkServer  # noqa: E402


@pytest.fixture(scope="session")
def bare_forks():
    forks = ForkServer(preload=["scripted_work"])
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def warm_forks():
    forks = ForkServer()
    forks.start()
    yield forks
    forks.close()


@pytest.fixture
def world(tmp_path, bare_forks):
    """A started server for scripted jobs."""
    world = World.over(tmp_path, forks=bare_forks, max_jobs=2).start()
    yield world
    world.close()


@pytest.fixture
def workshop(tmp_path, warm_forks):
    """A started server for real work, with the dataset ds-1."""
    world = World.over(tmp_path, forks=warm_forks).start()
    world.keep_dataset()
    yield world
    world.close()


@pytest.fixture
def reopened(tmp_path):
    """Start a world over the folder of one that was killed."""
    worlds = []

    def start(forks, **kinds):
        worlds.append(World.over(tmp_path, forks=forks, **kinds).start())
        return worlds[-1]

    yield start
    for world in worlds:
        world.close()


@pytest.fixture
def killed_server(tmp_path):
    """Run a server in a process of its own until it kills itself at a point."""

    def run(point, *modules):
        program = [sys.executable, "-W", "ignore", str(PARTS / "server_of_jobs.py"), str(tmp_path), point, *modules]
        done = subprocess.run(program, check=False, timeout=120, stdout=subprocess.DEVNULL)
        assert done.returncode == -signal.SIGKILL

    return run


@pytest.fixture
def prepared(tmp_path):
    """A world that is never started: to queue jobs for a server in another process."""
    world = World.over(tmp_path)
    yield world
    world.storage.close()
