"""The real `lmaas-server` over a folder, killed and started again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from lmaas import LMaaS
from lmaas_server.lock import DataDirectoryInUseError, DirectoryLock

DEADLINE = 120.0


class Server:
    """A process on a free port, as often as it is started again; `client` speaks to the one that runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        """Start it, once the folder is free."""
        wait_for(self._is_free)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lmaas_server", "--port", "0", "--data-dir", str(self.folder)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "LMAAS_SERVER_JOB_THREADS": "1"},
        )
        said = self.process.stdout.readline()
        found = re.search(r"http://[^,]+", said)
        if found is None:
            self._end()
            raise RuntimeError(f"the server did not start; it said {said!r}")
        self.client = LMaaS(base_url=found.group())

    def kill(self) -> None:
        """End it as the kernel does that is out of memory."""
        self.client.close()
        self._end()

    def _end(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        self.process.stdout.close()

    def _is_free(self) -> bool:
        try:
            DirectoryLock(self.folder).release()
        except DataDirectoryInUseError:
            return False
        return True


def wait_for(wanted):
    """Return the first thing that is true of what `wanted` returns."""
    until = time.monotonic() + DEADLINE
    while not (found := wanted()):
        assert time.monotonic() < until
        threading.Event().wait(0.005)
    return found
