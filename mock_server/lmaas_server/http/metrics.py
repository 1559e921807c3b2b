"""What the server counts, and its text for Prometheus. Knows no route.

Of several processes of one server each counts by itself, and whichever is asked adds up what the others have told.

Counting is two dict operations under a lock; prometheus_client, which takes 80 ms to import, writes the text and is
loaded when the text is first asked for.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Metrics", "Traffic"]

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a deployment answered."""

    rows: int
    row_errors: int
    seconds: float
    times: Sequence[tuple[float, int]]
    """Seconds, and how many requests took about that long."""


class Metrics:
    """Requests by operation and status with their times, and gauges that are read when they are asked for."""

    def __init__(self, others: Callable[[], Iterable[Mapping[str, Any]]] = tuple) -> None:
        """`others` gives the `state` of the other processes of this server."""
        self._others = others
        self._lock = threading.Lock()
        self._requests: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._times: dict[str, list[float]] = {}
        self._gauges: dict[tuple[str, str], Callable[[], dict[str, float]]] = {}
        self._traffic: Callable[[], Mapping[str, Traffic]] = dict

    def __repr__(self) -> str:
        return f"Metrics({sum(self._requests.values())} requests)"

    def gauge(self, name: str, about: str, read: Callable[[], dict[str, float]]) -> None:
        """Add a gauge; `read` gives its value by label when the text is written."""
        self._gauges[name, about] = read

    def deployments(self, read: Callable[[], Mapping[str, Traffic]]) -> None:
        """Tell what deployments answered: `read` gives it by name when the text is written."""
        self._traffic = read

    def count(self, operation: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        slot = bisect_left(_BUCKETS, seconds)
        with self._lock:
            self._requests[operation, status] += 1
            # One count for each bucket, one for what is over the last, and the sum of the seconds.
            times = self._times.setdefault(operation, [0.0] * (len(_BUCKETS) + 2))
            times[slot] += 1
            times[-1] += seconds

    def state(self) -> dict[str, Any]:
        """Return what was counted here, as JSON."""
        with self._lock:
            requests = [[operation, status, number] for (operation, status), number in self._requests.items()]
            return {"requests": requests, "times": {name: list(values) for name, values in self._times.items()}}

    def _sums(self) -> tuple[dict[tuple[str, int], int], dict[str, list[float]]]:
        """Return what was counted here and elsewhere."""
        requests: defaultdict[tuple[str, int], int] = defaultdict(int)
        times: dict[str, list[float]] = {}
        for state in (self.state(), *self._others()):
            for operation, status, number in state["requests"]:
                requests[operation, status] += number
            for operation, values in state["times"].items():
                known = times.get(operation)
                times[operation] = values if known is None else [a + b for a, b in zip(known, values, strict=True)]
        return requests, times

    def text(self) -> tuple[bytes, str]:
        """Return the text and its content type."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry), CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Any]:
        """Yield the families, as prometheus_client wants them of a collector."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        requests, times = self._sums()
        counter = CounterMetricFamily("lmaas_requests", "Requests answered.", labels=["operation", "status"])
        for (operation, status), number in sorted(requests.items()):
            counter.add_metric([operation, str(status)], number)
        yield counter
        histogram = HistogramMetricFamily("lmaas_request_seconds", "Time to the answer.", labels=["operation"])
        for operation, values in sorted(times.items()):
            histogram.add_metric([operation], _cumulative(values[:-1]), sum_value=values[-1])
        yield histogram
        for (name, about), read in self._gauges.items():
            gauge = GaugeMetricFamily(name, about, labels=["of"])
            for label, value in sorted(read().items()):
                gauge.add_metric([label], value)
            yield gauge
        yield from _families(self._traffic())


def _families(traffic: Mapping[str, Traffic]) -> Iterator[Any]:
    """Yield what deployments answered since the server began."""
    from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

    requests = HistogramMetricFamily(
        "lmaas_prediction_seconds", "Requests for predictions, by their time of computing.", labels=["deployment"]
    )
    rows = CounterMetricFamily("lmaas_predicted_rows", "Rows answered.", labels=["deployment", "outcome"])
    for name, told in sorted(traffic.items()):
        counts = [0.0] * (len(_BUCKETS) + 1)
        for seconds, count in told.times:
            counts[bisect_left(_BUCKETS, seconds)] += count
        requests.add_metric([name], _cumulative(counts), sum_value=told.seconds)
        rows.add_metric([name, "answered"], told.rows - told.row_errors)
        rows.add_metric([name, "error"], told.row_errors)
    yield requests
    yield rows


def _cumulative(counts: list[float]) -> list[tuple[str, float]]:
    total = 0.0
    pairs: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, _BUCKETS), "+Inf"), counts, strict=True):
        total += count
        pairs.append((bound, total))
    return pairs
