"""Ray Serve: one replica behind its proxy.

python -m benchmarks.peers.servers.ray PORT
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import ray
import torch
from ray import serve
from starlette.requests import Request

from benchmarks.peers.network import mlp, predicted


@serve.deployment(num_replicas=1, max_ongoing_requests=64)
class Digits:
    """The network as Ray Serve wants it."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.network = mlp()

    async def __call__(self, request: Request) -> dict[str, Any]:
        """Answer."""
        return {"outputs": predicted(self.network, torch.tensor((await request.json())["inputs"]))}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Digits.bind(), route_prefix="/predict")  # type: ignore[attr-defined]  # the decorator adds it
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    stopped.wait()
    serve.shutdown()
    ray.shutdown()
