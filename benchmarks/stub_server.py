"""A server that answers every request with one fixed job at once: what is left to measure is the client."""

from __future__ import annotations

import asyncio
import json
import sys

JOB = json.dumps(
    {
        "id": "job-000000000000000000000000",
        "object": "job",
        "type": "training",
        "status": "running",
        "created_at": 1.0,
        "started_at": 2.0,
        "finished_at": None,
        "progress": {"step": 10, "steps": 100, "epoch": 1, "epochs": 10, "eta_seconds": 3.5},
        "metrics": {"loss": 0.25, "accuracy": 0.93},
        "model": None,
        "result": None,
        "error": None,
        "request": {"type": "training", "dataset": "ds-1", "name": "digits", "epochs": 10, "batch_size": 128},
        "seed": 0,
    }
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req-1\r\ncontent-length: %d\r\n\r\n%s" % (
    len(JOB),
    JOB,
)


class Stub(asyncio.Protocol):
    """Reads up to the blank line and what Content-Length promises, then answers."""

    delay = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, rest = self.buffer.split(b"\r\n\r\n", 1)
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            length = int(fields.get(b"content-length", 0))
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            if self.delay:
                asyncio.get_running_loop().call_later(self.delay, self.transport.write, ANSWER)
            else:
                self.transport.write(ANSWER)


async def serve(delay: float) -> None:
    """Listen on a free port of loopback, print it, and stay."""
    Stub.delay = delay
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1]) if len(sys.argv) > 1 else 0.0))
