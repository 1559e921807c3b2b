"""LitServe: one worker beside the process that speaks HTTP, no batching, which is its default.

python -m benchmarks.peers.servers.litserve PORT
"""

import sys
from typing import Any

import litserve
import torch

from benchmarks.peers.network import mlp, predicted


class Digits(litserve.LitAPI):  # type: ignore[misc]  # not installed where types are checked
    """The network as LitServe wants it."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Load it."""
        torch.set_num_threads(1)
        self.network = mlp()

    def decode_request(self, request: dict[str, Any]) -> torch.Tensor:
        """JSON to rows."""
        return torch.tensor(request["inputs"])

    def predict(self, rows: torch.Tensor) -> list[dict[str, float]]:
        """Answer."""
        return predicted(self.network, rows)

    def encode_response(self, outputs: list[dict[str, float]]) -> dict[str, Any]:
        """Outputs to JSON."""
        return {"outputs": outputs}


if __name__ == "__main__":
    server = litserve.LitServer(Digits(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="error", generate_client_file=False)
