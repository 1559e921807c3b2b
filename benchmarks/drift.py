"""How soon drift is noticed and how often in vain, on MNIST through the SDK against a live server.

A model is trained on 50,000 digits and asked about 15,000 upright ones it never saw, then about ones turned by 45
degrees: once row by row without a label, where its confidence is watched, and once with the label of every row, where
its errors are. What counts is at which request the alarm comes after the first turned digit, and that none came before.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from benchmarks.learning.data import AbsentError, digits, rotated
from benchmarks.learning.loop import SEEDS, Examples, trained
from benchmarks.timing import Row, table
from lmaas import LMaaS
from lmaas.testing import MockServer
from lmaas.types import MLP, DeploymentEvent

__all__ = ["measure", "table"]

DEGREES = 45.0
TRAINING_ROWS = 50_000
UPRIGHT = 15_000
TURNED = 200
BATCH = 1_000
RECIPE: dict[str, Any] = {"architecture": MLP(hidden=(512, 512)), "epochs": 3, "batch_size": 128}
FLOORS = {"error": 39, "confidence": 71}
PATIENCE_SECONDS = 10.0


def measure() -> tuple[str, list[Row]]:
    """Measure the delay of the alarm by either signal, and count false alarms."""
    title = f"Drift, through the SDK against a live server ({len(SEEDS)} seeds)"
    try:
        with MockServer(job_threads=2) as server, server.client() as client:
            found = [_once(client, seed) for seed in SEEDS]
    except AbsentError as absent:
        return title, [Row("MNIST", "skipped", str(absent))]
    rows = []
    for signal, floor in FLOORS.items():
        delays = [one[signal][0] for one in found]
        what = f"{signal}, turned by {DEGREES:.0f} degrees: the alarm comes at"
        middle = statistics.median(delays)
        rows.append(Row(what, f"{middle:.0f} (at most {max(delays):.0f})", f"<= {floor}", middle <= floor))
        false = sum(one[signal][1] for one in found)
        what = f"{signal}, upright: false alarms in {len(SEEDS)} x {UPRIGHT:,}"
        rows.append(Row(what, str(false), "0", false == 0))
    return title, rows


def _once(client: LMaaS, seed: int) -> dict[str, tuple[float, int]]:
    """Return by signal how many requests after the change the alarm came, and how many came before it."""
    generator = np.random.default_rng(seed)
    train, test = digits("train"), digits("t10k")
    order, of_test = generator.permutation(len(train)), generator.permutation(len(test))
    model = trained(client, _pair(train.take(order[:TRAINING_ROWS])), name=f"digits-{seed}", seed=seed, **RECIPE)
    unseen, half = train.take(order[TRAINING_ROWS:]), UPRIGHT - (len(train) - TRAINING_ROWS)
    upright = (unseen, test.take(of_test[:half]))
    turned = rotated(test.take(of_test[half : half + TURNED]), DEGREES)
    names = {signal: client.deploy(model, name=f"{signal}-{seed}").name for signal in FLOORS}
    for examples in (*upright, turned):
        for batch in examples.batches(BATCH):
            shown = client.predict(names["error"], batch.rows)
            client.feedback(shown, labels=batch.labels)
        for row in examples.rows:
            client.predict(names["confidence"], row[None])
    return {signal: _judged(_alarms(client, name)) for signal, name in names.items()}


def _pair(examples: Examples) -> tuple[Any, np.ndarray]:
    return examples.rows, examples.labels


def _alarms(client: LMaaS, deployment: str) -> list[DeploymentEvent]:
    """Return the alarms, once there is one after the change or none has come for a while."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        alarms = [event for event in client.deployments.events(deployment) if event.type == "drift"]
        if time.monotonic() > end or any(event.data["at"] > UPRIGHT for event in alarms):
            return alarms
        time.sleep(0.2)


def _judged(alarms: list[DeploymentEvent]) -> tuple[float, int]:
    late = [event.data["at"] - UPRIGHT for event in alarms if event.data["at"] > UPRIGHT]
    return min(late, default=float("inf")), len(alarms) - len(late)
