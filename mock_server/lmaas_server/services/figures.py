"""The arithmetic of what deployments do: requests added up, and the figures read from the sums. Knows no storage.

Latencies are counted in buckets that grow by 2**(1/8), 9 %, from 10 microseconds on: sums of any spans of time are
sums of counts, and a quantile is off by 4.5 % at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lmaas_server.records import ObservationRecord
from lmaas_server.services.totals import Totals

__all__ = ["Figures", "Tally", "bucket_of", "figures_of", "seconds_of"]

_FLOOR_SECONDS = 1e-5
_BUCKETS_PER_DOUBLING = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was done in a window of time; what there was nothing to tell by is None."""

    requests: int = 0
    errors: int = 0
    rows: int = 0
    row_errors: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    confidence: float | None = None
    """The mean over rows of the score of the class that was shown."""
    labelled: int = 0
    right: int = 0
    feedback: dict[str, int] = field(default_factory=dict)
    ratings: dict[str, int] = field(default_factory=dict)
    compared: int = 0
    agreed: int = 0
    measured: int = 0
    mean_difference: float | None = None
    """The mean absolute difference of the values of shadows from those that were answered."""
    dropped: int = 0

    @property
    def error_rate(self) -> float | None:
        """The share of requests that the version could not answer."""
        return _share(self.errors, self.requests + self.errors)

    @property
    def accuracy(self) -> float | None:
        """The share of labels that are what the prediction had shown."""
        return _share(self.right, self.labelled)

    @property
    def agreement(self) -> float | None:
        """The share of rows of labels or texts in which shadows gave the answer that was given."""
        return _share(self.agreed, self.compared)


@dataclass(slots=True)
class Tally:
    """One span's sums while they grow."""

    requests: int = 0
    errors: int = 0
    rows: int = 0
    row_errors: int = 0
    seconds: float = 0.0
    latency: dict[int, int] = field(default_factory=dict)
    confidence: float = 0.0
    confident: int = 0
    labelled: int = 0
    correct: int = 0
    feedback: dict[str, int] = field(default_factory=dict)
    ratings: dict[str, int] = field(default_factory=dict)
    compared: int = 0
    agreed: int = 0
    measured: int = 0
    difference: float = 0.0
    dropped: int = 0

    def predicted(self, part: Totals, *, confidences: Sequence[float] = ()) -> None:
        """Count requests that were answered; `confidences` are of their rows."""
        self.requests += part.requests
        self.rows += part.rows
        self.row_errors += part.row_errors
        self.seconds += part.seconds
        for bucket, count in part.latency.items():
            self.latency[bucket] = self.latency.get(bucket, 0) + count
        self.confidence += sum(confidences)
        self.confident += len(confidences)

    def labelled_as(self, *, right: bool | None, kind: str, value: object, times: int = 1) -> None:
        """Count an item of feedback; -1 times, take back what was counted."""
        self.feedback[kind] = self.feedback.get(kind, 0) + times
        if kind == "rating":
            word = "up" if value == 1 else "down"
            self.ratings[word] = self.ratings.get(word, 0) + times
        if right is not None:
            self.labelled += times
            self.correct += times * right

    def record(self, deployment: str, model: str, *, shadow: bool, begin: int) -> ObservationRecord:
        """Return the sums as they are kept."""
        return ObservationRecord(
            deployment=deployment,
            model=model,
            shadow=shadow,
            begin=begin,
            requests=self.requests,
            errors=self.errors,
            rows=self.rows,
            row_errors=self.row_errors,
            seconds=self.seconds,
            latency={str(bucket): count for bucket, count in self.latency.items()},
            confidence=self.confidence,
            confident=self.confident,
            labelled=self.labelled,
            correct=self.correct,
            feedback=dict(self.feedback),
            ratings=dict(self.ratings),
            compared=self.compared,
            agreed=self.agreed,
            measured=self.measured,
            difference=self.difference,
            dropped=self.dropped,
        )


def figures_of(records: Sequence[ObservationRecord]) -> Figures:
    """Add spans up and read the figures from the sums."""
    latency = _merged(record.latency for record in records)
    p50, p95, p99 = (_quantile(latency, share) for share in (0.5, 0.95, 0.99))
    confident = sum(record.confident for record in records)
    measured = sum(record.measured for record in records)
    return Figures(
        requests=sum(record.requests for record in records),
        errors=sum(record.errors for record in records),
        rows=sum(record.rows for record in records),
        row_errors=sum(record.row_errors for record in records),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        confidence=sum(record.confidence for record in records) / confident if confident else None,
        labelled=sum(record.labelled for record in records),
        right=sum(record.correct for record in records),
        feedback={kind: count for kind, count in _merged(record.feedback for record in records).items() if count},
        ratings={"up": 0, "down": 0} | _merged(record.ratings for record in records),
        compared=sum(record.compared for record in records),
        agreed=sum(record.agreed for record in records),
        measured=measured,
        mean_difference=sum(record.difference for record in records) / measured if measured else None,
        dropped=sum(record.dropped for record in records),
    )


def with_shadows(records: Sequence[ObservationRecord]) -> list[ObservationRecord]:
    """Return what answered, and of the shadows one record of how they agreed: nobody was given their answers."""
    names = ("compared", "agreed", "measured", "difference", "dropped")
    sums = {name: sum(getattr(record, name) for record in records if record.shadow) for name in names}
    answered = [record for record in records if not record.shadow]
    return [*answered, ObservationRecord(deployment="", model="", shadow=True, begin=0, **sums)]


def bucket_of(seconds: float) -> int:
    """Return the bucket of a latency; what took less than 10 microseconds is in the first."""
    if seconds <= _FLOOR_SECONDS:
        return 0
    return math.ceil(math.log2(seconds / _FLOOR_SECONDS) * _BUCKETS_PER_DOUBLING)


def seconds_of(bucket: int) -> float:
    """Return the longest latency of a bucket."""
    return float(_FLOOR_SECONDS * 2 ** (bucket / _BUCKETS_PER_DOUBLING))


def _quantile(latency: dict[str, int], share: float) -> float | None:
    """Return the latency that `share` of the requests did not exceed, in milliseconds: the middle of its bucket."""
    total = sum(latency.values())
    if not total:
        return None
    wanted, passed, bucket = math.ceil(share * total), 0, 0
    for bucket in sorted(map(int, latency)):
        passed += latency[str(bucket)]
        if passed >= wanted:
            break
    return round(seconds_of(bucket) * 2 ** (-0.5 / _BUCKETS_PER_DOUBLING) * 1000, 4)


def _merged(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for some in counts:
        for word, count in some.items():
            total[word] = total.get(word, 0) + count
    return total


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
