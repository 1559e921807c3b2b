"""Models: trained versions in the registry, `NAME@VERSION`."""

from typing import Any, Literal

from lmaas.types._wire import WireObject, WireRequest


class ModelOrigin(WireObject):
    """What a version was made from; `client.models.lineage` tells the whole line."""

    job: str | None = None
    dataset: str | None = None
    parent: str | None = None
    feedback: int = 0
    """How many items of feedback went into this version."""
    deployment: str | None = None
    """Of an update: whose feedback it was; there `client.deployments.promote` makes the version champion."""
    gate: dict[str, Any] | None = None
    """Of an update: what the gate measured, `{anchor, fresh, alpha}`."""


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
    lineage: ModelOrigin
    input: dict[str, Any] = {}
    target: dict[str, Any] = {}


class AliasSet(WireRequest):
    """Point an alias at a version: the body of `PUT /v1/models/{name}/aliases/{alias}`."""

    version: int


class BaseModelInfo(WireObject):
    """A pretrained language model that can be fine-tuned, one directory of the server's."""

    id: str
    object: Literal["base_model"] | str = "base_model"
    created_at: float
    """When its directory was last changed."""
    usable: bool
    error: dict[str, Any] | None = None
    """Why it is not usable: code and message."""
    model_type: str | None = None
    """The family, as transformers calls it: `llama`, `gpt2`, ..."""
    parameters: int | None = None
    bytes: int = 0
    context: int | None = None
    """Tokens that prompt and answer share."""
    vocabulary: int | None = None
    chat: bool = False
    """Whether it brings a chat template of its own."""
