"""Lineage: what a version was made from, back to the first of its kind."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

from lmaas.types._tree import Branch, drawn
from lmaas.types._wire import WireObject

_HEADLINES = ("accuracy", "exact_match", "r2", "perplexity", "loss")
"""Of a version's metrics, the first of these there is, is drawn."""


class LineageJob(WireObject):
    """The job that made a version."""

    id: str
    type: str | None = None
    strategy: str | None = None
    """Of an update."""
    status: str | None = None
    gone: bool = False


class LineageDataset(WireObject):
    """The dataset a version, or the first of its line, was trained on."""

    id: str
    name: str | None = None
    rows: int | None = None
    gone: bool = False


class LineageFeedback(WireObject):
    """The feedback that changed a version; `client.feedback.list(applied="digits@3")` lists the items."""

    used: int = 0
    """Items it was trained on."""
    held_out: int = 0
    """Items it was judged by instead."""
    contradictions: int = 0
    """Items that a later one of the same source has replaced."""
    capped: dict[str, int] = {}
    """By source, items that were left out because it said more than its share."""
    applied: int = 0
    """Items that say of themselves that this version took them into account and that were not retracted since."""
    by_kind: dict[str, int] = {}
    """Of `applied`."""
    by_source: dict[str, int] = {}
    """Of `applied`, those that name a source."""


class LineageServing(WireObject):
    """A deployment that a version serves in."""

    deployment: str
    role: Literal["champion", "canary", "shadow"] | str


class LineageVersion(WireObject):
    """One version, and what it was made from."""

    id: str
    gone: bool = False
    """Deleted since; what its job knows of it is told."""
    created_at: float | None = None
    aliases: list[str] = []
    serving: list[LineageServing] = []
    metrics: dict[str, float] = {}
    job: LineageJob | None = None
    dataset: LineageDataset | None = None
    parent: str | None = None
    feedback: LineageFeedback = LineageFeedback()

    @property
    def champion_of(self) -> list[str]:
        """The deployments whose champion it is."""
        return [place.deployment for place in self.serving if place.role == "champion"]


class Lineage(WireObject):
    """A version, its parent, the parent's parent, and so on; printed, a tree."""

    id: str
    object: Literal["model.lineage"] | str = "model.lineage"
    versions: list[LineageVersion]
    """The one that was asked for first, then each one's parent."""
    has_more: bool = False
    """Whether the last of them has a parent that is not told of here."""

    def __str__(self) -> str:
        return self.tree()

    def __repr__(self) -> str:
        return f"Lineage({self.id!r}, {len(self.versions)} versions)"

    def tree(self, *, plain: bool | None = None) -> str:
        """Return the lineage drawn as a tree.

        Args:
            plain: Whether to draw with ASCII alone; omitted, as what standard output can show.
        """
        return drawn(self._branch(0), plain=plain)

    def _branch(self, place: int) -> Branch:
        version = self.versions[place]
        children = [Branch(" · ".join(words)) for words in (_job(version), _dataset(version)) if words]
        if feedback := _feedback(version.feedback):
            children.append(feedback)
        if place + 1 < len(self.versions):
            children.append(self._branch(place + 1))
        elif version.parent is not None:
            children.append(Branch(f"{version.parent} · and before"))
        return Branch(" · ".join(_head(version)), children)


def _head(version: LineageVersion) -> Iterator[str]:
    yield f"★ {version.id}" if version.champion_of else f"✝ {version.id}" if version.gone else version.id
    if version.gone:
        yield "gone"
    yield from (f"{place.role} of {place.deployment}" for place in version.serving)
    if version.aliases:
        yield ", ".join(f"@{alias}" for alias in version.aliases)
    found = next((name for name in _HEADLINES if name in version.metrics), None)
    if found is not None:
        yield f"{found} {version.metrics[found]:.3f}"
    before, after = (version.metrics.get(name) for name in ("fresh_champion", "fresh_candidate"))
    if before is not None and after is not None:
        yield f"on new feedback {before:.3f} → {after:.3f}"
    if version.created_at is not None:
        yield f"{datetime.fromtimestamp(version.created_at, UTC):%Y-%m-%d %H:%M}"


def _job(version: LineageVersion) -> list[str]:
    job = version.job
    if job is None:
        return []
    words = [f"{job.type or 'job'} {job.id}", job.strategy, "gone" if job.gone else None]
    return [word for word in words if word]


def _dataset(version: LineageVersion) -> list[str]:
    """Say the dataset where it was read; an update that only inherits it is silent."""
    dataset, job = version.dataset, version.job
    if dataset is None or (job is not None and job.type == "update" and job.strategy != "retrain"):
        return []
    rows = None if dataset.rows is None else f"{dataset.rows:,} rows"
    words = [f"dataset {dataset.id}", dataset.name, rows, "gone" if dataset.gone else None]
    return [word for word in words if word]


def _feedback(feedback: LineageFeedback) -> Branch | None:
    if not (feedback.used or feedback.held_out or feedback.applied):
        return None
    words = [f"feedback {feedback.used:,} learned from", f"{feedback.held_out:,} judged by"]
    if feedback.contradictions:
        words.append(f"{feedback.contradictions:,} replaced by later ones")
    children = [Branch(_counted(feedback.by_kind))] if feedback.by_kind else []
    if feedback.by_source:
        nameless = feedback.applied - sum(feedback.by_source.values())
        named = {f"from {source}": count for source, count in feedback.by_source.items()}
        children.append(Branch(_counted(named | ({"from nobody by name": nameless} if nameless else {}))))
    if feedback.capped:
        children.append(Branch(f"left out beyond its share · {_counted(feedback.capped)}"))
    return Branch(" · ".join(words), children)


def _counted(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return " · ".join(f"{count:,} {name}" for name, count in ordered)
