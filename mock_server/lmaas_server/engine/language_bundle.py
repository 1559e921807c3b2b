"""A language model as it is stored: the files of a checkpoint beside the `bundle.json` of every model.

bundle.json            what the model is and takes, how it was made, its metrics
weights.safetensors    the network's weights, adapters merged into them
config.json            the network's configuration, as transformers writes it
tokenizer.json, tokenizer_config.json    tokens, and the chat template
buffers.safetensors    texts kept for learning from feedback and for the promotion gate
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from lmaas_server.engine.bundle import FORMAT, describe_bundle, write_directory
from lmaas_server.engine.data.examples import Json
from lmaas_server.engine.data.tokens import Tokens
from lmaas_server.engine.device import CPU
from lmaas_server.errors import InvalidError

TASK = "generation"
BUFFERS = "buffers.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LanguageBundle:
    """A language model and all it needs to answer; the `form` of its `input`, how it was taught, is how it is asked."""

    architecture: Json
    input: Json
    config: Json
    tokens: Tokens
    weights: dict[str, Tensor]
    training: Json = field(default_factory=dict)
    metrics: Json = field(default_factory=dict)
    buffers: dict[str, Tensor] = field(default_factory=dict)
    buffers_info: Json = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"LanguageBundle({self.config['model_type']}, {self.parameters:,} parameters, {self.tokens!r})"

    @property
    def parameters(self) -> int:
        """How many weights the network has."""
        return sum(tensor.numel() for tensor in self.weights.values())


def save_language_bundle(bundle: LanguageBundle, directory: Path) -> None:
    """Write the bundle to `directory`, which appears complete or not at all."""
    weights = save({name: tensor.to(CPU).contiguous() for name, tensor in bundle.weights.items()})
    about = {
        "format": FORMAT,
        "task": TASK,
        "architecture": bundle.architecture,
        "input": bundle.input,
        "target": {"kind": "text"},
        "training": bundle.training,
        "metrics": bundle.metrics,
        "parameters": bundle.parameters,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "buffers": bundle.buffers_info,
    }
    files = {
        "weights.safetensors": weights,
        "config.json": json.dumps(bundle.config, indent=1).encode(),
        **bundle.tokens.files(),
        "bundle.json": json.dumps(about, indent=1).encode(),
    }
    if bundle.buffers:
        files[BUFFERS] = save(bundle.buffers)
    write_directory(directory, files)


def describe_language_bundle(directory: Path) -> Json:
    """Return what bundle.json says, once the weights are held against their checksum.

    Raises:
        InvalidError: `bundle_damaged`.
    """
    about = describe_bundle(directory)
    if hashlib.sha256((directory / "weights.safetensors").read_bytes()).hexdigest() != about["weights_sha256"]:
        raise InvalidError(f"the weights in {directory.name} are damaged", code="bundle_damaged")
    return about
