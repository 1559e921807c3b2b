"""Watch a training live, pause it, look at its checkpoints, let it go on, and stop another one half-way.

python examples/follow_training.py
"""

from __future__ import annotations

from handwriting import load
from lmaas import LMaaS
from lmaas.testing import MockServer
from lmaas.types import CNN, AdamW, CosineSchedule, EarlyStopping


def main(base_url: str) -> None:
    images, labels = load("digits")
    with LMaaS(base_url=base_url) as client:
        dataset = client.datasets.create((images, labels), name="digits")
        job = client.train(
            dataset,
            name="digits",
            architecture=CNN(channels=(16, 32), hidden=64),
            optimizer=AdamW(lr=3e-3),
            schedule=CosineSchedule(warmup=0.1),
            early_stopping=EarlyStopping(metric="accuracy", patience=5),
            epochs=20,
            seed=0,
        )
        paused = False
        # The stream survives lost connections: it resumes after the last event it has seen.
        with client.jobs.events(job, follow=True) as events:
            for event in events:
                print(f"{event.seq:3} {event.type:10} {event.message}")
                if event.type == "metrics" and not paused:
                    client.jobs.pause(job)
                    paused = True
                if event.type == "status" and event.data.get("status") == "paused":
                    checkpoint = client.jobs.checkpoints(job)[0]
                    print(f"--- paused at step {checkpoint.step} ({checkpoint.bytes:,} bytes on disk), going on")
                    client.jobs.resume(job)

        ended = client.jobs.retrieve(job.id)
        print(f"{ended.status}: {ended.model}, validation accuracy {ended.metrics['accuracy']:.1%}")

        long = client.train(dataset, name="digits", epochs=10_000)
        stopped = client.jobs.wait(client.jobs.cancel(long), raise_on_failure=False)
        print(f"{long.id} would take all day: {stopped.status}")


if __name__ == "__main__":
    with MockServer() as server:
        main(server.url)
