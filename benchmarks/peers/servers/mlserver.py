"""MLServer: the model in the process that speaks HTTP (`parallel_workers=0`, the faster of its two ways).

python -m benchmarks.peers.servers.mlserver PORT
"""

from __future__ import annotations

import asyncio
import sys

import mlserver
import torch
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput

from benchmarks.peers.network import mlp, predicted


class Digits(mlserver.MLModel):  # type: ignore[misc]  # not installed where types are checked
    """The network as MLServer wants it."""

    async def load(self) -> bool:
        """Load it."""
        torch.set_num_threads(1)
        self.network = mlp()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer."""
        (given,) = payload.inputs
        outputs = predicted(self.network, torch.tensor(given.data.root).reshape(given.shape))
        said = [
            ResponseOutput(name=name, shape=[len(outputs)], datatype=kind, data=[output[name] for output in outputs])
            for name, kind in (("label", "INT64"), ("score", "FP32"))
        ]
        return InferenceResponse(model_name=self.name, outputs=said)


async def main(port: int) -> None:
    """Serve until told to stop."""
    settings = mlserver.Settings(
        host="127.0.0.1",
        http_port=port,
        grpc_port=port + 1,
        metrics_port=port + 2,
        parallel_workers=0,
        debug=False,
        logging_settings={"version": 1, "disable_existing_loggers": True},
    )
    server = mlserver.MLServer(settings)
    await server.start([mlserver.ModelSettings(name="digits", implementation=Digits)])


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
