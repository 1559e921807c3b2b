"""A rollback of an idle server: how long the request takes, how soon the old version answers, and to which bits.

Two versions of the MLP 784-512-512-10 change places to and fro behind `lmaas-server`, through the SDK on one warm
connection, and once more after a restart, where nothing but the champion was asked for yet.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.serving import KEY, WIDTH, prepare, real_server
from benchmarks.timing import Row, table
from lmaas import LMaaS

__all__ = ["measure", "table"]

ROLLBACKS = 20
LIMIT_MS = 100
_NAME = "digits"
_ROWS = 64


def measure() -> tuple[str, list[Row]]:
    """Measure each row of the table."""
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory)
        with real_server(data) as port, _client(port) as client:
            for seed in range(2):  # two versions, one after the other under one name
                prepare(port, seed=seed)
            expected = _both(client)
            rows = [*_rollbacks(client, expected)]
        with real_server(data) as port, _client(port) as client:
            rows.append(_after_a_restart(client, expected))
    return f"Rollback of an idle server, {ROLLBACKS} to and fro", rows


def _client(port: int) -> LMaaS:
    return LMaaS(base_url=f"http://127.0.0.1:{port}", api_key=KEY)


def _both(client: LMaaS) -> dict[str, bytes]:
    """Return the bits that each version answers, from before the first of the measured rollbacks."""
    found = {}
    for _ in range(2):
        model, bits = _answer(client)
        found[model] = bits
        client.deployments.rollback(_NAME)
    return found


def _rollbacks(client: LMaaS, expected: dict[str, bytes]) -> Iterator[Row]:
    took, until = [], []
    same = len(set(expected.values())) == len(expected)  # or it would be no sign that they come back
    for _ in range(ROLLBACKS):
        before, _bits = _answer(client)
        began = time.perf_counter()
        client.deployments.rollback(_NAME)
        took.append(1000 * (time.perf_counter() - began))
        after, bits = _answer(client)
        until.append(1000 * (time.perf_counter() - began))
        same = same and before != after and bits == expected[after]
    yield _row("the request, median", statistics.median(took))
    yield _row("the request, 99th percentile", float(np.quantile(took, 0.99)))
    yield _row(f"until {_ROWS} rows are answered by the old version, median", statistics.median(until))
    yield Row("answers of a version that came back", "bit-identical" if same else "NOT THE SAME", "bit-identical", same)


def _after_a_restart(client: LMaaS, expected: dict[str, bytes]) -> Row:
    """Roll back what was asked for once since the start; the version behind it is loaded in the background."""
    _answer(client)
    time.sleep(1.0)
    began = time.perf_counter()
    client.deployments.rollback(_NAME)
    took = 1000 * (time.perf_counter() - began)
    after, bits = _answer(client)
    row = _row("the request, a second after the first answer of a restarted server", took)
    return row if bits == expected[after] else Row(row.what, "NOT THE SAME BITS", row.target, met=False)


def _row(what: str, milliseconds: float) -> Row:
    return Row(what, f"{milliseconds:.1f} ms", f"<= {LIMIT_MS} ms", milliseconds <= LIMIT_MS)


def _answer(client: LMaaS) -> tuple[str, bytes]:
    """Return who answered the rows, and the bits of the answer."""
    rows = np.random.default_rng(1).random((_ROWS, WIDTH), dtype=np.float32)
    prediction = client.predict(_NAME, rows, probabilities=True, store=False)
    return prediction.model, np.array([output.probabilities for output in prediction.outputs]).tobytes()
