"""Many predictions at once from asyncio: the client caps its open requests and retries what failed.

python examples/async_many.py
"""

from __future__ import annotations

import asyncio
import time

import numpy as np

from handwriting import load
from lmaas import AsyncLMaaS
from lmaas.testing import MockServer
from lmaas.types import MLP


async def main(base_url: str) -> None:
    images, labels = load("digits")
    async with AsyncLMaaS(base_url=base_url) as client:
        # Two trainings are asked for together; the server runs them one after the other.
        sizes = {"narrow": (16,), "wide": (256, 256)}
        data = await client.datasets.create((images[500:], labels[500:]), name="digits")
        jobs = await asyncio.gather(
            *(client.train(data, name=name, architecture=MLP(hidden=sizes[name]), epochs=10, seed=0) for name in sizes)
        )
        async for job in client.jobs.as_completed(jobs):
            print(f"{job.model}: validation accuracy {job.metrics['accuracy']:.1%}")

        await asyncio.gather(*(client.deploy(f"{name}@1", name=name) for name in sizes))

        for name in sizes:
            start = time.perf_counter()
            predictions = await asyncio.gather(*(client.predict(name, images[i : i + 1]) for i in range(500)))
            seconds = time.perf_counter() - start
            right = np.mean([p.labels[0] == truth for p, truth in zip(predictions, labels[:500], strict=True)])
            print(f"{name}: 500 requests in {seconds:.2f} s, {right:.1%} right")


if __name__ == "__main__":
    with MockServer() as server:
        asyncio.run(main(server.url))
