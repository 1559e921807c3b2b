"""What deployments do: figures over a window of time, the state of the watch for drift, and events."""

from typing import Any, Literal

from lmaas.types._wire import WireObject
from lmaas.types.deployments import Role


class DeploymentEvent(WireObject):
    """Something that happened to a deployment; `seq` counts from 1 without gaps."""

    id: str
    seq: int
    object: Literal["deployment.event"] | str = "deployment.event"
    deployment: str
    type: str
    """A word for it: `drift`, `promotion`, `canary`, `rollback`, `guard`, and others to come."""
    level: Literal["info", "warning", "error"] | str = "info"
    message: str
    data: dict[str, Any]
    created_at: float


class DriftAlarm(WireObject):
    """A signal of a version changed more than chance allows; also an event of type `drift`."""

    event: str
    model: str
    signal: Literal["error", "confidence"] | str
    """The share of wrong answers among labels, or the confidence where no labels arrive."""
    before: float
    after: float
    at: int
    """At which of this version's labels (of `error`) or requests (of `confidence`) it showed."""
    created_at: float


class DriftSignal(WireObject):
    """A signal that is watched: its mean since it last changed, over how many numbers, and how many there were."""

    mean: float
    width: int
    seen: int


class DriftState(WireObject):
    """What the watch for drift knows."""

    alarms: int
    """Within the window of the stats."""
    last_alarm: DriftAlarm | None = None
    """The latest ever."""
    watching: Literal["error", "confidence"] | str | None = None
    """What an alarm would come from now: errors where labels arrive, confidence where none do."""
    error: DriftSignal | None = None
    confidence: DriftSignal | None = None


class StatsFigures(WireObject):
    """What was done in a window; null where there is nothing to tell by."""

    requests: int
    errors: int
    """Requests that could not be answered, through no fault of who asked."""
    error_rate: float | None = None
    rows: int
    row_errors: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    """Milliseconds of computing that half, 95 % and 99 % of the requests did not exceed, to within 5 %."""
    confidence: float | None = None
    """The mean score of the class that was shown."""
    labelled: int
    right: int
    accuracy: float | None = None
    """The share of labels that say what had been shown, by the version that showed it; labels count when they come."""
    feedback: dict[str, int]
    """Items by kind."""
    ratings: dict[str, int]
    """`up` and `down`."""
    compared: int
    agreed: int
    agreement: float | None = None
    """The share of compared rows, of labels or texts, in which a shadow answered as was answered. A text that was drawn
    by chance, without a seed, is not compared."""
    measured: int = 0
    """Rows of values that shadows were compared in."""
    mean_difference: float | None = None
    """Of those, the mean absolute difference from what was answered."""
    dropped: int = 0
    """Requests that a shadow was not asked, because too many waited for it."""


class VariantStats(StatsFigures):
    """The figures of one version, under all its roles in the window."""

    model: str
    role: Role | str | None = None
    """Its role now; null of a version that serves no more."""
    weight: float | None = None
    drift: DriftState | None = None
    """Of champions, which alone are watched."""


class DeploymentStats(StatsFigures):
    """The figures of a deployment over a window of time; what shadows answered is in their variant alone.

    `print(stats)` shows it as a table.
    """

    id: str
    object: Literal["deployment.stats"] | str = "deployment.stats"
    window_seconds: float
    since: float
    """Where the window begins: figures are kept by the minute, beyond two days by the hour."""
    created_at: float
    variants: list[VariantStats]
    drift: DriftState

    def __str__(self) -> str:
        """Return the figures as a table: one line for the whole, one for each version."""
        head = ("", "requests", "errors", "p50", "p95", "p99", "confidence", "accuracy", "feedback", "agreement")
        versions = [(f"  {v.model} ({v.role or 'before'})", *_cells(v)) for v in self.variants]
        lines: list[tuple[str, ...]] = [head, (self.id, *_cells(self)), *versions]
        first, *widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = [
            "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))])
            for name, *cells in lines
        ]
        return "\n".join([f"The last {_span(self.window_seconds)}", *rows, _drift(self.drift)])

    def __repr__(self) -> str:
        """Return what a person looks for first, in a line."""
        accuracy = "" if self.accuracy is None else f", {self.accuracy:.1%} right of {self.labelled} labelled"
        p50 = "" if self.p50_ms is None else f", p50 {_ms(self.p50_ms)}"
        return (
            f"<DeploymentStats {self.id}, {_span(self.window_seconds)}: {self.requests} requests{p50}{accuracy}, "
            f"{self.drift.alarms} drift alarms>"
        )


_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def _span(seconds: float) -> str:
    """Return a length of time in the largest unit that leaves it whole."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size and seconds % size == 0), (1, "s"))
    return f"{seconds / size:g} {unit}"


def _cells(figures: StatsFigures) -> tuple[str, ...]:
    accuracy = "-" if figures.accuracy is None else f"{figures.accuracy:.1%} of {figures.labelled}"
    feedback = ", ".join(f"{count} {kind}" for kind, count in sorted(figures.feedback.items()))
    return (
        f"{figures.requests:,}",
        "-" if figures.error_rate is None else f"{figures.error_rate:.2%}",
        *(_ms(value) for value in (figures.p50_ms, figures.p95_ms, figures.p99_ms)),
        "-" if figures.confidence is None else f"{figures.confidence:.3f}",
        accuracy,
        feedback or "-",
        _agreement(figures),
    )


def _agreement(figures: StatsFigures) -> str:
    if figures.agreement is not None:
        return f"{figures.agreement:.1%} of {figures.compared}"
    return "-" if figures.mean_difference is None else f"+-{figures.mean_difference:.3g} in {figures.measured}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g} ms"


def _drift(state: DriftState) -> str:
    if state.last_alarm is None:
        return "No drift" + ("" if state.watching is None else f"; watching the {state.watching}")
    last = state.last_alarm
    moved = f"{last.signal} of {last.model} from {last.before:.3f} to {last.after:.3f}"
    return f"Drift: {state.alarms} alarms in this time, the last ever: {moved}"
