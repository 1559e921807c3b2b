"""Causal language models: sizes without torch, the network from a configuration or a checkpoint, adapters on it.

The network is transformers' own. Its auto classes take seconds to import, so a Llama is imported directly; another
family goes through them. Weights come from safetensors and no code comes with them: `base_models.py` looks first.
"""

from __future__ import annotations

import functools
import json
import math
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmaas.types import Llama, LoRA
from lmaas_server.engine.device import device
from lmaas_server.errors import InvalidError

if TYPE_CHECKING:
    from torch import Tensor, nn

Json = dict[str, Any]
BUNDLE_WEIGHTS = "weights.safetensors"
_ROUND = 16


def check(shape: Llama) -> None:
    """Refuse widths and heads that do not divide.

    Raises:
        InvalidError: `architecture_invalid`, naming the field.
    """
    if shape.width % shape.heads or (shape.width // shape.heads) % 2:
        raise InvalidError(
            f"width is {shape.width} and heads {shape.heads}; the width must be an even multiple of the heads, "
            f"such as {2 * shape.heads * max(1, shape.width // (2 * shape.heads))}",
            code="architecture_invalid",
            param="architecture.llama.width",
        )
    if shape.heads % (shape.kv_heads or shape.heads):
        raise InvalidError(
            f"kv_heads is {shape.kv_heads}, which does not divide heads, {shape.heads}",
            code="architecture_invalid",
            param="architecture.llama.kv_heads",
        )


def llama_config(shape: Llama, *, vocabulary: int, bos: int | None, eos: int | None) -> Json:
    """Return the configuration of a fresh Llama, as transformers writes it."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": _hidden(shape),
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads or shape.heads,
        "head_dim": shape.width // shape.heads,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context,
        "rms_norm_eps": 1e-5,
        "initializer_range": 0.02,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "tie_word_embeddings": shape.tie_embeddings,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "dtype": "float32",
    }


def parameters(shape: Llama, vocabulary: int) -> int:
    """Count the weights of a fresh Llama."""
    width, head = shape.width, shape.width // shape.heads
    attention = 2 * width * width + 2 * width * (shape.kv_heads or shape.heads) * head
    layer = attention + 3 * width * _hidden(shape) + 2 * width
    return vocabulary * width * (1 if shape.tie_embeddings else 2) + shape.layers * layer + width


def units(config: Json, tokens: int) -> int:
    """Count the numbers that a row of so many tokens leaves behind for the backward pass; an estimate from above."""
    width = int(config.get("hidden_size") or config.get("n_embd") or 0)
    layers = int(config.get("num_hidden_layers") or config.get("n_layer") or 0)
    heads = int(config.get("num_attention_heads") or config.get("n_head") or 1)
    hidden = int(config.get("intermediate_size") or 4 * width)
    return tokens * (layers * (14 * width + 4 * hidden + heads * tokens) + 3 * int(config["vocab_size"]))


def build(config: Json) -> nn.Module:
    """Build a network on the device, with weights drawn from torch's random state, that of the CPU.

    Raises:
        InvalidError: `base_model_refused`: transformers has no such causal language model.
    """
    return _built(config).to(device())


def _built(config: Json) -> nn.Module:
    """Build a network on the CPU."""
    _hush()
    try:
        network: nn.Module
        if config["model_type"] == "llama":
            from transformers.models.llama.configuration_llama import LlamaConfig
            from transformers.models.llama.modeling_llama import LlamaForCausalLM

            network = LlamaForCausalLM(LlamaConfig(**_plain(config)))
        else:
            from transformers import AutoConfig, AutoModelForCausalLM

            kind = AutoConfig.for_model(config["model_type"], **_plain(config))
            network = AutoModelForCausalLM.from_config(kind, trust_remote_code=False)  # type: ignore[no-untyped-call]  # untyped
    except (ValueError, TypeError, KeyError, ImportError) as exc:
        raise InvalidError(
            f"no causal language model of the family {config['model_type']!r} can be built from config.json: {exc}",
            code="base_model_refused",
            param="base_model",
        ) from exc
    return network.float()


def load(directory: Path) -> nn.Module:
    """Load the network of a checkpoint or of a stored model, in float32 on the device.

    Raises:
        InvalidError: `base_model_refused`: its files do not make a causal language model.
    """
    config = json.loads((directory / "config.json").read_bytes())
    if (directory / BUNDLE_WEIGHTS).exists():
        from safetensors.torch import load_file

        network = _built(config)
        put_state(network, load_file(directory / BUNDLE_WEIGHTS))
        return network.to(device())
    return _pretrained(directory, config)


def _pretrained(directory: Path, config: Json) -> nn.Module:
    _hush()
    import torch

    try:
        network: nn.Module = _reader(config["model_type"])(
            directory, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError, RuntimeError, KeyError) as exc:
        raise InvalidError(
            f"the checkpoint {directory.name} cannot be loaded: {exc}", code="base_model_refused", param="base_model"
        ) from exc
    return network.to(device())


def _reader(family: str) -> Any:
    """Return what reads a checkpoint of a family."""
    if family == "llama":
        from transformers.models.llama.modeling_llama import LlamaForCausalLM

        return LlamaForCausalLM.from_pretrained
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained


def state_of(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights by name, each once: of names that share their numbers, the first."""
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in network.state_dict().items():
        if tensor.data_ptr() not in seen or not tensor.numel():
            found[name] = tensor.detach()
        seen.add(tensor.data_ptr())
    return found


def put_state(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put weights that `state_of` gave into a network of the same configuration.

    Raises:
        InvalidError: `bundle_damaged`: they are not the weights of this network.
    """
    names = state_of(network).keys() ^ state.keys()
    try:
        network.load_state_dict(dict(state), strict=False)
        problem = f"{min(names)} is on one side only" if names else None
    except RuntimeError as exc:
        problem = str(exc)
    if problem:
        raise InvalidError(f"the weights do not fit the configuration: {problem}", code="bundle_damaged")


def adapted(network: nn.Module, lora: LoRA, *, ends: Iterable[int]) -> nn.Module:
    """Return the network with low-rank adapters; they alone learn, beside the embeddings of the tokens that end a text.

    A base model that never saw a text end (stories-260k is one) has no use for these tokens, and no adapter could give
    it one.

    Raises:
        InvalidError: `lora_targets`: there are no such layers.
    """
    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # any number scales
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) if lora.targets else "all-linear",
        trainable_token_indices=sorted(ends) or None,
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings():
            # peft asks transformers for a property by its old name.
            warnings.simplefilter("ignore", FutureWarning)
            return get_peft_model(network, settings)
    except ValueError as exc:
        names = sorted({name.rsplit(".", 1)[-1] for name, part in network.named_modules() if _is_linear(part)})
        raise InvalidError(
            f"no layer is called {', '.join(lora.targets or ())}; there is {', '.join(names)}",
            code="lora_targets",
            param="architecture.lora.targets",
        ) from exc


def merged(network: nn.Module) -> nn.Module:
    """Return the network with its adapters added into the weights; one without adapters as it is."""
    merge = getattr(network, "merge_and_unload", None)
    found: nn.Module = merge() if callable(merge) else network
    return found


def _is_linear(part: object) -> bool:
    return type(part).__name__ in {"Linear", "Conv1D"}


def _hidden(shape: Llama) -> int:
    return shape.hidden or math.ceil(shape.width * 8 / 3 / _ROUND) * _ROUND


def _plain(config: Json) -> Json:
    return {key: value for key, value in config.items() if key not in {"model_type", "architectures", "auto_map"}}


@functools.cache
def _hush() -> None:
    """Keep transformers from drawing progress bars into the log of a server."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
