"""An application that asks people to correct it: it predicts, collects what they say, and updates itself.

A post office reads digits. Its scanner slips; clerks correct what was misread, a tray at a time. After each tray the
model learns, and the gate decides whether the new version may serve. In the end the boss wants the first one back.

python examples/feedback_loop.py
"""

from __future__ import annotations

import numpy as np

from handwriting import load, shifted
from lmaas import LMaaS
from lmaas.testing import MockServer


def main(base_url: str) -> None:
    images, labels = load("digits")
    slipped = shifted(images)
    trays = np.array_split(np.arange(0, 1_000), 4)
    test, train = np.arange(1_000, 1_250), np.arange(1_250, len(images))

    with LMaaS(base_url=base_url) as client:
        job = client.jobs.wait(client.train((images[train], labels[train]), name="reader", epochs=30, seed=0))
        assert job.model is not None
        client.deploy(job.model, name="reader")

        def right(rows: np.ndarray) -> float:
            return float(np.mean(np.array(client.predict("reader", slipped[rows]).labels) == labels[rows]))

        print(f"before     {right(test):.1%} right")
        for number, tray in enumerate(trays, start=1):
            prediction = client.predict("reader", slipped[tray], user=f"clerk-{number}")
            # None says nothing about a row: clerks touch only what looks odd to them, here two letters in three.
            said = [int(truth) if i % 3 else None for i, truth in enumerate(labels[tray])]
            items = client.feedback(prediction, labels=said, source=f"clerk-{number}")
            update = client.jobs.wait(client.update("reader", seed=number))
            result = update.result or {}
            verdict = f"{update.model} serves" if result["promoted"] else f"held: {result['reason']}"
            print(f"tray {number}     {right(test):.1%} right   {len(items)} corrections, {verdict}")

        for revision in client.deployments.revisions("reader"):
            print(f"revision {revision.revision}: {revision.variants[0].model}  ({revision.reason})")
        deployment = client.deployments.rollback("reader", revision=1)
        print(f"rolled back to {deployment.model}: {right(test):.1%} right")


if __name__ == "__main__":
    with MockServer() as server:
        main(server.url)
