"""BentoML: a service of one worker.

python -m benchmarks.peers.servers.bentoml PORT
"""

from __future__ import annotations

import os
import sys

import bentoml
import torch

from benchmarks.peers.network import mlp, predicted


@bentoml.service(workers=1)
class Digits:
    """The network as BentoML wants it."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.network = mlp()

    @bentoml.api  # type: ignore[untyped-decorator]  # not installed where types are checked
    def predict(self, inputs: list[list[float]]) -> list[dict[str, float]]:
        """Answer."""
        return predicted(self.network, torch.tensor(inputs))


if __name__ == "__main__":
    where = ["--host", "127.0.0.1", "--port", sys.argv[1]]
    os.execv(  # noqa: S606 - its own command line, as its users start it
        sys.executable,
        [sys.executable, "-m", "bentoml", "serve", "benchmarks.peers.servers.bentoml:Digits", *where],
    )
