"""How much of an update one source of feedback may be. Knows no model, no label and no row.

Where several sources speak, the items of one are at most a share of all that the update takes into account, so that a
source that is wrong - by mistake or on purpose - cannot outvote the others: neither in training nor among the rows the
candidate is judged by. Three things keep that from doing harm:

1. A source that speaks alone is not limited, and the share is never less than an even one.
2. Some items of any source are always taken: two opinions beside three hundred do not silence the latter. To learn
   from they are `FLOOR`, a batch; to judge by `JUDGED_FLOOR`, too few to pass the gate's test by themselves.
3. Items without a source cannot be told apart. They are never limited, and count among the others; whoever wants to be
   guarded from a source has sources named.

The weights that items carry are limited in the same way, by scaling all of a source's: 32 items of weight 1,000 would
otherwise be a thousand times what 32 others say. Which items of a source are taken is decided by a hash of their ids:
every attempt takes the same, from all of its time.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Item = Mapping[str, Any]

FLOOR = 32
JUDGED_FLOOR = 4
"""Of four rows that all improve, McNemar's test says p = .06."""
_NOTHING = 1e-9
"""Shares such as a third do not add up to one in floating point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What is left of the items once no source has more than its share."""

    items: tuple[Item, ...]
    """In the order they were given."""
    capped: dict[str, int]
    """How many of which source were left out."""
    lightened: dict[str, float]
    """By what the weights of which source were multiplied."""
    left_out: frozenset[str]
    """The ids of what was left out."""

    def __repr__(self) -> str:
        return f"Taken({len(self.items)}, capped={self.capped}, lightened={self.lightened})"


def parties_of(items: Iterable[Item]) -> int:
    """Return how many speak; all without a source are one."""
    return len({item.get("source") for item in items})


def take_shares(items: Sequence[Item], share: float, *, parties: int | None = None, floor: int = FLOOR) -> Taken:
    """Leave out of `items` what one source says beyond its share of what is taken.

    Args:
        items: Mappings of `id`, `source` and `weight` (omitted or None, 1).
        share: The most that one source may be of all that is taken, in (0, 1]; 1 is no limit.
        parties: How many speak in the whole, where `items` are a part of it; omitted, counted.
        floor: How many items of a source are always taken.
    """
    parties = parties_of(items) if parties is None else parties
    share = 1.0 if parties <= 1 else max(share, 1 / parties)
    limits = _limits(items, share, floor, lambda _item: 1.0)
    over = frozenset(_beyond(items, {source: int(limit) for source, limit in limits.items()}))
    kept = [item for item in items if item["id"] not in over]
    weights = _amounts(kept, _weight)
    factors = {source: limit / weights[source] for source, limit in _limits(kept, share, floor, _weight).items()}
    capped = Counter(str(item["source"]) for item in items if item["id"] in over)
    return Taken(
        items=tuple(_lightened(item, factors.get(item.get("source"))) for item in kept),
        capped=dict(sorted(capped.items())),
        lightened={str(source): factor for source, factor in sorted(factors.items())},
        left_out=over,
    )


def limit_of(named: Sequence[float], nameless: float, share: float) -> float:
    """Return the most one source may have, so that none is more than `share` of what remains.

    Where k sources are held to a limit L and `rest` is what the others have, L = share * (k L + rest).
    """
    sizes = sorted(named, reverse=True)
    rest = sum(sizes) + nameless
    for held, size in enumerate([*sizes, 0.0]):
        free = 1 - held * share
        limit = share * rest / free if free > _NOTHING else math.inf
        if size <= limit + _NOTHING:
            return limit + _NOTHING if held else math.inf
        rest -= size
    return math.inf


def _limits(items: Iterable[Item], share: float, floor: int, amount: Callable[[Item], float]) -> dict[Any, float]:
    """Return the limit of each source that has more."""
    amounts = _amounts(items, amount)
    nameless = amounts.pop(None, 0.0)
    limit = max(limit_of(list(amounts.values()), nameless, share), floor)
    return {source: limit for source, has in amounts.items() if has > limit}


def _amounts(items: Iterable[Item], amount: Callable[[Item], float]) -> dict[Any, float]:
    amounts: defaultdict[Any, float] = defaultdict(float)
    for item in items:
        amounts[item.get("source")] += amount(item)
    return dict(amounts)


def _weight(item: Item) -> float:
    return float(item.get("weight") or 1.0)


def _lightened(item: Item, factor: float | None) -> Item:
    return item if factor is None else {**item, "weight": _weight(item) * factor}


def _beyond(items: Iterable[Item], limits: Mapping[Any, int]) -> Iterable[str]:
    """Yield the ids that a source has beyond its limit."""
    of_source: defaultdict[Any, list[str]] = defaultdict(list)
    for item in items:
        if item.get("source") in limits:
            of_source[item["source"]].append(item["id"])
    for source, ids in of_source.items():
        yield from sorted(ids, key=_rank)[limits[source] :]


def _rank(id: str) -> bytes:
    """Return where an id stands; another hash than that of the holdout, of which each source keeps its part."""
    return hashlib.sha256(b"source:" + id.encode()).digest()
