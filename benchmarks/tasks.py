"""How good the models are that the service trains on real data, through the SDK, beside the floors they must hold.

Each row is a training and an evaluation against a live server, with the defaults a caller gets who names nothing but
the data (MNIST asks for a small network, two epochs and one cycle of the rate). The data are read
from `LMAAS_DATA_DIR`, else `../shared/data`; what is absent is said and skipped.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import Row, table
from lmaas import LMaaS
from lmaas.testing import MockServer
from lmaas.types import CNN, OneCycle

__all__ = ["measure", "table"]

DATA = Path(os.environ.get("LMAAS_DATA_DIR") or Path(__file__).parents[2] / "shared" / "data")
ADULT = [
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
    "income",
]
SEEDS = (0, 1, 2)
Rows = Any
Measured = tuple[float, float]
"""Share of test rows that are right, and seconds of training."""


def measure() -> tuple[str, list[Row]]:
    """Measure every task whose data are there."""
    rows = []
    with MockServer(job_threads=2) as server, server.client() as client:
        for file, task in TASKS.items():
            if (DATA / file).exists():
                rows.append(task(client))
            else:
                rows.append(Row(file, "skipped", f"no such file in {DATA}"))
    return f"Tasks, through the SDK against a live server (median of {len(SEEDS)} seeds)", rows


def _median(once: Callable[[int], Measured], what: str, floor: float, most: float | None = None) -> Row:
    """Measure for each seed; a figure is the median, and so is the time."""
    found = [once(seed) for seed in SEEDS]
    accuracy, took = (statistics.median(one[part] for one in found) for part in (0, 1))
    target = f">= {floor:.1%}" + (f" in {most:.0f} s" if most else "")
    met = accuracy >= floor and (most is None or took <= most)
    return Row(what, f"{accuracy:.2%} in {took:.1f} s", target, met)


def _trained(
    client: LMaaS, train: Rows, test: Rows, *, seed: int, target: str | None = None, **request: Any
) -> Measured:
    """Train on one part and evaluate on the other; the time is the job's own."""
    job = client.jobs.wait(client.train(train, name="task", target=target, seed=seed, **request))
    assert job.model is not None
    took = (job.finished_at or 0) - (job.started_at or 0)
    measured = client.jobs.wait(client.evaluate(job.model, test, target=target)).metrics
    return float(measured["accuracy"]), took


def _mnist(client: LMaaS) -> Row:
    train, test = (client.datasets.create(_digits(part), input="image") for part in ("train", "t10k"))
    recipe: dict[str, Any] = {"architecture": CNN(), "epochs": 2, "batch_size": 128, "schedule": OneCycle(max_lr=3e-3)}

    def once(seed: int) -> Measured:
        return _trained(client, train, test, seed=seed, **recipe)

    return _median(once, "MNIST, small CNN, 2 epochs, one cycle", 0.990, 40)


def _digits(part: str) -> tuple[Any, Any]:
    pixels = gzip.decompress((DATA / "mnist" / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((DATA / "mnist" / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    images = np.frombuffer(pixels, dtype=np.uint8, offset=16).reshape(-1, 28, 28, 1)
    return images, np.frombuffer(labels, dtype=np.uint8, offset=8)


def _speech(client: LMaaS) -> Row:
    with np.load(DATA / "speech" / "fsdd_8khz_int16.npz") as file:
        clips, labels, is_test = np.split(file["audio"], file["offset"][1:-1]), file["label"], file["index"] < 5
    train, test = (client.datasets.create(_clips(clips, labels, rows)) for rows in (~is_test, is_test))

    def once(seed: int) -> Measured:
        return _trained(client, train, test, seed=seed)

    return _median(once, "FSDD spoken digits, official split", 0.960, 40)


def _clips(clips: list[Any], labels: Any, rows: Any) -> bytes:
    chosen = [clips[row] for row in np.flatnonzero(rows)]
    stream = io.BytesIO()
    offset = np.cumsum([0, *map(len, chosen)])
    np.savez(stream, audio=np.concatenate(chosen), offset=offset, label=labels[rows], sample_rate=8000)
    return stream.getvalue()


def _sms(client: LMaaS) -> Row:
    lines = gzip.decompress((DATA / "text" / "SMSSpamCollection.gz").read_bytes()).decode().splitlines()
    rows = [{"label": label, "text": text} for label, text in (line.split("\t", 1) for line in lines)]

    def once(seed: int) -> Measured:
        test, train = _split(rows, 1115, seed)
        return _trained(client, train, test, seed=seed)

    return _median(once, "SMS spam, random fifth held out", 0.980)


def _dbpedia(client: LMaaS) -> Row:
    with gzip.open(DATA / "text" / "dbpedia14_14k.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = [{"label": int(label), "text": text} for label, text in csv.reader(file)]

    def once(seed: int) -> Measured:
        test, train = _split(rows, 2000, seed)
        return _trained(client, train, test, seed=seed)

    return _median(once, "DBpedia-14, 12,000 rows", 0.965)


def _adult(client: LMaaS) -> Row:
    train, test = (client.datasets.create(_people(part), target="income") for part in ("train", "test"))

    def once(seed: int) -> Measured:
        return _trained(client, train, test, seed=seed)

    return _median(once, "UCI Adult, official split", 0.85)


def _people(part: str) -> list[dict[str, str]]:
    with gzip.open(DATA / "tabular" / f"adult-{part}.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file, skipinitialspace=True) if len(row) == len(ADULT)]
    # The labels of the test part end in a full stop.
    return [dict(zip(ADULT, [*row[:-1], row[-1].rstrip(".")], strict=True)) for row in rows]


def _split(rows: list[Any], held: int, seed: int) -> tuple[list[Any], list[Any]]:
    order = np.random.default_rng(seed).permutation(len(rows))
    shuffled = [rows[index] for index in order]
    return shuffled[:held], shuffled[held:]


TASKS: dict[str, Callable[[LMaaS], Row]] = {
    "mnist/train-images-idx3-ubyte.gz": _mnist,
    "speech/fsdd_8khz_int16.npz": _speech,
    "text/SMSSpamCollection.gz": _sms,
    "text/dbpedia14_14k.csv.gz": _dbpedia,
    "tabular/adult-train.csv.gz": _adult,
}
