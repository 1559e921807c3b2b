"""What a deployment has answered since the server began, in this process and in others. Knows no span of time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from lmaas_server.records import Json


@dataclass(slots=True)
class Totals:
    """What a deployment has answered since this process began."""

    requests: int = 0
    rows: int = 0
    row_errors: int = 0
    seconds: float = 0.0
    latency: dict[int, int] = field(default_factory=dict)

    @property
    def mean_ms(self) -> float | None:
        """How long a request took, in milliseconds; None where there was none."""
        return round(self.seconds / self.requests * 1000, 3) if self.requests else None

    def add(self, other: Totals) -> None:
        """Add what another process has answered."""
        self.requests += other.requests
        self.rows += other.rows
        self.row_errors += other.row_errors
        self.seconds += other.seconds
        for bucket, count in other.latency.items():
            self.latency[bucket] = self.latency.get(bucket, 0) + count

    def document(self) -> Json:
        """Return it as JSON."""
        return {**asdict(self), "latency": {str(bucket): count for bucket, count in self.latency.items()}}

    @classmethod
    def read(cls, document: Json) -> Totals:
        """Return what `document` gave."""
        return cls(**{**document, "latency": {int(bucket): n for bucket, n in document["latency"].items()}})


def over_processes(deployment: str, mine: Totals | None, others: Iterable[Json]) -> Totals:
    """Return the totals of all processes; `others` are what the other ones said of all their deployments."""
    total = Totals()
    if mine is not None:
        total.add(mine)
    for state in others:
        if (document := state["totals"].get(deployment)) is not None:
            total.add(Totals.read(document))
    return total
