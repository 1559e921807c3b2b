"""The variants of a deployment rearranged: who leads, who is tried, who steps back. Pure; knows no storage.

Weights are relative to their sum. A change made here keeps the proportions of those it is not about, and a canary's
share is a fraction of all the traffic, whatever the weights of the others add up to.
"""

from __future__ import annotations

from collections.abc import Sequence

from lmaas.types import VariantSpec
from lmaas_server.errors import InvalidError
from lmaas_server.records import DeploymentRecord, Json, ModelRecord

__all__ = [
    "CANARY_SHARE",
    "alike",
    "champion_of",
    "check_alike",
    "check_together",
    "models_of",
    "with_canary",
    "with_champion",
    "without_canaries",
]

CANARY_SHARE = 0.1
"""Of the traffic, where nothing else is said."""
_DIGITS = 6


def champion_of(deployment: DeploymentRecord) -> str:
    """Return the version that answers: the champion with the largest share, or the largest share of any."""
    champions = [v for v in deployment.variants if v["role"] == "champion"] or list(deployment.variants)
    return str(max(champions, key=lambda v: v["weight"])["model"])


def models_of(variants: Sequence[Json]) -> frozenset[str]:
    """Return the versions, shadows too."""
    return frozenset(variant["model"] for variant in variants)


def with_champion(variants: Sequence[Json], candidate: str, *, instead_of: str) -> list[Json]:
    """Return the variants with a candidate in a champion's place: it has the share of both, the others keep theirs."""
    both = {instead_of, candidate}
    share = sum(v["weight"] for v in variants if v["model"] in both and v["role"] != "shadow")
    others = [v for v in variants if v["model"] not in both]
    return [{"model": candidate, "weight": share or 1.0, "role": "champion"}, *others]


def with_canary(variants: Sequence[Json], candidate: str, *, share: float) -> list[Json]:
    """Return the variants with a candidate as the one canary, at a fraction of the traffic.

    The champions share the rest in their proportions; where there would be none of them, nothing changes.
    """
    others = [v for v in variants if v["role"] != "canary" and v["model"] != candidate]
    total = sum(v["weight"] for v in others if v["role"] != "shadow")
    if not total:
        return list(variants)
    rest = (1 - share) / total
    scaled = [v if v["role"] == "shadow" else {**v, "weight": _rounded(v["weight"] * rest)} for v in others]
    return [*scaled, {"model": candidate, "weight": share, "role": "canary"}]


def without_canaries(variants: Sequence[Json], *, only: str | None = None) -> list[Json]:
    """Return the variants without the canaries, or `only` one of them; nothing where nobody would answer then."""
    rest = [v for v in variants if v["role"] != "canary" or only not in {None, v["model"]}]
    return rest if any(v["role"] != "shadow" and v["weight"] > 0 for v in rest) else []


def alike(some: Sequence[Json], others: Sequence[Json]) -> bool:
    """Whether two sets of variants serve alike: the same versions in the same roles with the same shares."""
    return _shares(some) == _shares(others)


def _shares(variants: Sequence[Json]) -> dict[str, tuple[str, float]]:
    total = sum(v["weight"] for v in variants if v["role"] != "shadow") or 1.0
    return {
        v["model"]: (v["role"], 0.0 if v["role"] == "shadow" else round(v["weight"] / total, _DIGITS)) for v in variants
    }


def _rounded(weight: float) -> float:
    """Return a weight as people like to read it; however small, it stays above 0."""
    return float(f"{weight:.9g}")


def check_together(specs: Sequence[VariantSpec], models: Sequence[ModelRecord]) -> None:
    """Refuse what cannot serve one name together.

    Raises:
        InvalidError: `variants_invalid`, nobody answers or one is there twice; `variants_incompatible`.
    """
    if not any(spec.role != "shadow" and spec.weight > 0 for spec in specs):
        message = "No variant answers: give one that is not a shadow a weight above 0."
        raise InvalidError(message, code="variants_invalid", param="variants")
    for place, record in enumerate(models):
        if record.id in {earlier.id for earlier in models[:place]}:
            message = f"{record.id} is there twice; give it one variant with the sum of the weights."
            raise InvalidError(message, code="variants_invalid", param=f"variants[{place}].model")
        check_alike(record, models[0], param=f"variants[{place}].model")


def check_alike(record: ModelRecord, first: ModelRecord, *, param: str) -> None:
    """Refuse a version that takes or gives something else than another does.

    Raises:
        InvalidError: `variants_incompatible`.
    """
    ours, theirs = _face(record), _face(first)
    if ours != theirs:
        message = f"{record.id} takes and gives {ours}, and {first.id} {theirs}; one name needs one kind of both."
        raise InvalidError(message, code="variants_incompatible", param=param)


def _face(record: ModelRecord) -> tuple[object, ...]:
    return record.input.get("kind"), tuple(record.input.get("shape") or ()), record.target.get("kind")
