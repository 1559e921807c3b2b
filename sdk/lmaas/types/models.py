"""Models: trained versions in the registry, `NAME@VERSION`."""

from __future__ import annotations

from typing import Any, Literal

from lmaas.types._wire import WireObject, WireRequest


class Lineage(WireObject):
    """Where a version comes from."""

    job: str | None = None
    dataset: str | None = None
    parent: str | None = None
    feedback: int = 0
    """How many items of feedback went into this version."""


class Model(WireObject):
    """One version of a model."""

    id: str
    object: Literal["model"] | str = "model"
    created: int
    created_at: float
    owned_by: str
    name: str
    version: int
    task: str
    architecture: dict[str, Any]
    parameters: int
    bytes: int
    sha256: str
    """Of the weights file (safetensors)."""
    metrics: dict[str, Any]
    aliases: list[str]
    lineage: Lineage
    input: dict[str, Any] = {}
    target: dict[str, Any] = {}


class AliasSet(WireRequest):
    """Point an alias at a version: the body of `PUT /v1/models/{name}/aliases/{alias}`."""

    version: int
