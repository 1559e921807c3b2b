"""What is fitted on the training rows of a table and kept with a model: columns become features. No torch.

A row becomes its numbers, then one index for each category. A number gives two features: standardised by median and
quartiles and bent by the inverse hyperbolic sine, so that an outlier is far away and not at infinity, and its rank
among the training rows. A date gives its number's features and where it stands in year, week and day. A column that had
missing values in training gets a feature that says so. Index 0 is a category that training did not see (or saw once),
index 1 a missing one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lmaas_server.engine.data.examples import Array, Json

QUANTILES = 64
MAX_CATEGORIES = 4096
"""Of one column, the most frequent; the rest is like a category never seen."""
UNKNOWN, ABSENT, FIRST = 0, 1, 2
_SAMPLE = 200_000
_LARGEST = 1e100
_DAY = 86_400.0
_PERIODS = (365.2425 * _DAY, 7 * _DAY, _DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A fitted number or date: `knots` are quantiles of the training rows, without repeats."""

    column: int
    date: bool
    center: float
    scale: float
    knots: tuple[float, ...]
    missing: bool

    @property
    def width(self) -> int:
        """How many features it gives."""
        return 2 + self.missing + self.date * 2 * len(_PERIODS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """A fitted category: the codes of those with an index of their own, in ascending order."""

    column: int
    codes: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many indices there are."""
        return FIRST + len(self.codes)


@dataclass(frozen=True, slots=True, kw_only=True)
class TablePreprocessing:
    """The fitted columns."""

    numbers: tuple[Number, ...]
    categories: tuple[Category, ...]
    kind: str = "table"

    def __repr__(self) -> str:
        return f"TablePreprocessing({len(self.numbers)} numbers, {len(self.categories)} categories)"

    @classmethod
    def fit(cls, inputs: Array, description: Json) -> TablePreprocessing:
        """Fit on the training rows; quantiles come from at most 200,000 of them, evenly spread."""
        numbers, categories = [], []
        for index, column in enumerate(description["columns"]):
            values = inputs[:, index]
            if column["type"] == "category":
                categories.append(_fit_category(index, values))
            else:
                numbers.append(_fit_number(index, values, date=column["type"] == "date"))
        return cls(numbers=tuple(numbers), categories=tuple(categories))

    @classmethod
    def from_json(cls, stored: Json) -> TablePreprocessing:
        """Read what `to_json` wrote."""
        numbers = [Number(**{**found, "knots": tuple(found["knots"])}) for found in stored["numbers"]]
        categories = [Category(column=found["column"], codes=tuple(found["codes"])) for found in stored["categories"]]
        return cls(numbers=tuple(numbers), categories=tuple(categories))

    def to_json(self) -> Json:
        """Return the fitted state as JSON."""
        names = ("column", "date", "center", "scale", "knots", "missing")
        return {
            "kind": self.kind,
            "numbers": [{name: getattr(number, name) for name in names} for number in self.numbers],
            "categories": [{"column": c.column, "codes": list(c.codes)} for c in self.categories],
        }

    @property
    def network_shape(self) -> tuple[int, ...]:
        """How many numbers a row has, then how many indices each of its categories has."""
        return (sum(number.width for number in self.numbers), *(category.size for category in self.categories))

    def features(self, inputs: Array) -> Array:
        """Return (rows, numbers + categories) as float32; indices are exact in it."""
        found = np.zeros((len(inputs), self.network_shape[0] + len(self.categories)), dtype=np.float32)
        at = 0
        for number in self.numbers:
            found[:, at : at + number.width] = _number_features(number, inputs[:, number.column])
            at += number.width
        for category in self.categories:
            found[:, at] = _indices(category, inputs[:, category.column])
            at += 1
        return found


def described_shape(description: Json) -> tuple[int, ...]:
    """Return about what `network_shape` will be, before anything is fitted."""
    columns = description["columns"]
    widths = [3 + 2 * len(_PERIODS) * (column["type"] == "date") for column in columns if column["type"] != "category"]
    sizes = [FIRST + min(column["distinct"], MAX_CATEGORIES) for column in columns if column["type"] == "category"]
    return (sum(widths), *sizes)


def _fit_number(index: int, values: Array, *, date: bool) -> Number:
    known = _bounded(values[np.isfinite(values)])
    missing = len(known) < len(values)
    if not len(known):
        return Number(column=index, date=date, center=0.0, scale=1.0, knots=(0.0,), missing=missing)
    sample = known[:: max(1, len(known) // _SAMPLE)]
    knots = np.unique(np.quantile(sample, np.linspace(0, 1, QUANTILES)))
    low, middle, high = np.quantile(sample, (0.25, 0.5, 0.75))
    # Quartiles that fall together (capital gains are 0 for nine in ten) leave the deviation, then 1.
    scale = (high - low) / 1.349 or float(sample.std()) or 1.0
    center, scale = float(middle), float(scale)
    return Number(column=index, date=date, center=center, scale=scale, knots=tuple(knots.tolist()), missing=missing)


def _fit_category(index: int, values: Array) -> Category:
    codes, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    if (counts > 1).any():  # those seen once teach what to do with one never seen
        codes, counts = codes[counts > 1], counts[counts > 1]
    frequent = codes[np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]]
    return Category(column=index, codes=tuple(np.sort(frequent).astype(np.int64).tolist()))


def _number_features(number: Number, values: Array) -> Array:
    absent = ~np.isfinite(values)
    known = np.where(absent, number.center, _bounded(values))
    found = np.empty((len(values), number.width))
    with np.errstate(over="ignore"):
        found[:, 0] = np.arcsinh((known - number.center) / number.scale)
    knots = np.asarray(number.knots)
    found[:, 1] = 2 * np.interp(known, knots, np.linspace(0, 1, len(knots))) - 1 if len(knots) > 1 else 0
    at = 2
    if number.date:
        for period in _PERIODS:
            angle = 2 * np.pi * np.fmod(known, period) / period
            found[:, at], found[:, at + 1] = np.sin(angle), np.cos(angle)
            at += 2
        found[absent, 2:at] = 0
    if number.missing:
        found[:, at] = absent
    return np.clip(found, -50, 50)


def _bounded(values: Array) -> Array:
    """Return values whose squares are still numbers."""
    return np.clip(values, -_LARGEST, _LARGEST)


def _indices(category: Category, values: Array) -> Array:
    codes = np.asarray(category.codes, dtype=np.float64)
    absent = ~np.isfinite(values)
    if not len(codes):
        return np.where(absent, ABSENT, UNKNOWN)
    places = np.searchsorted(codes, np.where(absent, 0, values)).clip(max=len(codes) - 1)
    return np.where(absent, ABSENT, np.where(codes[places] == values, places + FIRST, UNKNOWN))
