"""From tokens to the scores of the next one, remembering what was read. Knows no request and no sampling.

Two ways to one answer: a Llama is computed here, in as few operations as there are (transformers' own takes three times
as long for a small one); any other family by transformers, which is given this memory as its cache.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - as torch's documentation writes it

from lmaas_server.engine.serving.memory import Layout, Memory
from lmaas_server.errors import InvalidError

_PLAIN_ROPE = {"default", "linear", "llama3"}
"""Kinds of rotary embedding that are the same at every length."""


_CACHE_AXES = 4


class Decoder(Protocol):
    """A network that reads on."""

    layout: Layout
    nbytes: int

    def read(self, memory: Memory, tokens: Tensor) -> Tensor:
        """Read (rows, tokens), remember them, and return the scores of what comes next: (rows, vocabulary).

        Several tokens at once are the beginning of a text: the memory is empty then.
        """


def decoder_of(network: nn.Module) -> Decoder:
    """Return the fastest way to read with a network."""
    network = network.eval().requires_grad_(requires_grad=False)
    return LlamaDecoder(network) if _is_plain_llama(network.config) else TransformersDecoder(network)


class LlamaDecoder:
    """A Llama (https://arxiv.org/abs/2302.13971): queries, keys and values in one product, as are gate and up."""

    def __init__(self, network: nn.Module) -> None:
        config: Any = network.config
        inner: Any = network.model
        self._heads = int(config.num_attention_heads)
        self._width = int(config.head_dim)
        device = inner.embed_tokens.weight.device
        self.layout = Layout(len(inner.layers), int(config.num_key_value_heads), self._width, device)
        self._norm = float(config.rms_norm_eps)
        self._embedding: Tensor = inner.embed_tokens.weight.detach()
        self._output: Tensor = network.lm_head.weight.detach()  # type: ignore[union-attr, operator]  # of a Module torch says Tensor or Module
        self._last: Tensor = inner.norm.weight.detach()
        self._layers = [_llama_layer(layer) for layer in inner.layers]
        self._cos, self._sin = _rotations(inner.rotary_emb, int(config.max_position_embeddings))
        weights = {tensor.data_ptr(): tensor for layer in self._layers for tensor in layer}
        weights |= {tensor.data_ptr(): tensor for tensor in (self._embedding, self._output)}
        self.nbytes = sum(tensor.nbytes for tensor in weights.values())

    def __repr__(self) -> str:
        return f"LlamaDecoder({self.layout})"

    def read(self, memory: Memory, tokens: Tensor) -> Tensor:
        """Read (rows, tokens) and return the scores of what comes next: (rows, vocabulary)."""
        rows, count = tokens.shape
        memory.reserve(count)
        start, end = memory.used, memory.used + count
        cos, sin = self._turned(memory, start, count)
        hidden = memory.hidden(end)
        keys, width = self.layout.heads, self._width
        turning, everything = self._heads + keys, self._heads + 2 * keys
        x = F.embedding(tokens.to(self.layout.device).reshape(-1), self._embedding)  # (rows * tokens, model)
        shape = x.shape[1:]
        for layer, (norm1, qkv, out, norm2, gate_up, down) in zip(memory.tensor, self._layers, strict=True):
            heads = F.linear(F.rms_norm(x, shape, norm1, self._norm), qkv).view(rows, count, everything, width)
            turn = heads[:, :, :turning]
            rolled = turn.roll(width // 2, -1)
            turn.mul_(cos).addcmul_(rolled, sin)
            heads = heads.transpose(1, 2)  # (rows, heads, tokens, width)
            layer[:, :, start:end] = heads[:, self._heads :]
            attended = self._attended(heads[:, : self._heads], layer[:, :keys, :end], layer[:, keys:, :end], hidden)
            x = x + F.linear(attended.reshape(rows * count, -1), out)
            gate, up = F.linear(F.rms_norm(x, shape, norm2, self._norm), gate_up).chunk(2, dim=-1)
            x = x + F.linear(F.silu(gate) * up, down)
        memory.used = end
        last = x.view(rows, count, -1)[:, -1]
        return F.linear(F.rms_norm(last, shape, self._last, self._norm), self._output)

    def _attended(self, queries: Tensor, keys: Tensor, values: Tensor, hidden: Tensor | None) -> Tensor:
        """Return (rows, tokens, heads * width)."""
        rows, heads, count, width = queries.shape
        if count > 1:
            found = F.scaled_dot_product_attention(queries, keys, values, is_causal=True, enable_gqa=True)
            return found.transpose(1, 2)
        # The queries that share a head of keys are, for one token, just several queries of it.
        grouped = queries.reshape(rows, keys.shape[1], -1, width)
        return F.scaled_dot_product_attention(grouped, keys, values, attn_mask=hidden).view(rows, heads, width)

    def _turned(self, memory: Memory, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Return the rotations of the tokens at their places: (rows or 1, tokens, 1, width)."""
        if not any(memory.pads):
            return self._cos[None, start : start + count], self._sin[None, start : start + count]
        places = torch.tensor([start - pad for pad in memory.pads])[:, None] + torch.arange(count)
        places = places.to(self.layout.device)
        return self._cos[places], self._sin[places]


class TransformersDecoder:
    """Any causal language model of transformers whose layers all remember keys and values of every token."""

    def __init__(self, network: nn.Module) -> None:
        self._network: Any = network
        self.layout = _probed(network)
        self.nbytes = sum(weight.nbytes for weight in network.parameters())

    def __repr__(self) -> str:
        return f"TransformersDecoder({type(self._network).__name__}, {self.layout})"

    def read(self, memory: Memory, tokens: Tensor) -> Tensor:
        """Read (rows, tokens) and return the scores of what comes next: (rows, vocabulary)."""
        from transformers.cache_utils import Cache

        count = tokens.shape[1]
        memory.reserve(count)
        end = memory.used + count
        pads = torch.tensor(memory.pads)[:, None]
        places = torch.arange(memory.used, end) - pads  # (rows, tokens)
        seen = (torch.arange(end) >= pads).long() if any(memory.pads) else None  # (rows, columns)
        logits: Tensor = self._network(
            input_ids=tokens.to(self.layout.device),
            attention_mask=None if seen is None else seen.to(self.layout.device),
            position_ids=places.to(self.layout.device),
            past_key_values=Cache(layers=_layers_on(memory)),
            use_cache=True,
        ).logits
        memory.used = end
        return logits[:, -1]


def _layers_on(memory: Memory) -> list[Any]:
    """Return what transformers takes for its cache, writing into `memory`."""
    from transformers.cache_utils import DynamicLayer

    class Layer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        """One layer of the memory."""

        def __init__(self, part: Tensor) -> None:
            super().__init__()  # type: ignore[no-untyped-call]  # likewise
            self._part = part
            self.is_initialized = True

        def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
            """Write the new columns and return all of them."""
            heads, end = memory.layout.heads, memory.used + key_states.shape[2]
            self._part[:, :heads, memory.used : end] = key_states
            self._part[:, heads:, memory.used : end] = value_states
            return self._part[:, :heads, :end], self._part[:, heads:, :end]

        def get_seq_length(self, *_: Any) -> int:
            """How many columns were there before this step."""
            return memory.used

    return [Layer(part) for part in memory.tensor]


@torch.inference_mode()
def _probed(network: Any) -> Layout:
    """Ask the network what it remembers of a token.

    Raises:
        InvalidError: `generation_unsupported`: not the same in every layer.
    """
    from transformers.cache_utils import DynamicCache

    cache = DynamicCache(config=network.config)
    network(
        input_ids=torch.zeros((1, 2), dtype=torch.long, device=network.device), past_key_values=cache, use_cache=True
    )
    shapes = {
        tuple(tensor.shape) if isinstance(tensor, Tensor) else None
        for layer in cache.layers
        for tensor in (getattr(layer, "keys", None), getattr(layer, "values", None))
    }
    sliding = any(getattr(layer, "is_sliding", False) for layer in cache.layers)
    shape = shapes.pop() if len(shapes) == 1 and not sliding else None
    if shape is None or len(shape) != _CACHE_AXES:
        raise InvalidError(
            f"{type(network).__name__} does not remember the same of every token in every layer; texts are generated "
            "with models of full attention",
            code="generation_unsupported",
            param="model",
        )
    return Layout(len(cache.layers), shape[1], shape[3], network.device)


def _is_plain_llama(config: Any) -> bool:
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        config.model_type == "llama"
        and config.hidden_act == "silu"
        and not config.attention_bias
        and not config.mlp_bias
        and rope.get("rope_type", "default") in _PLAIN_ROPE
    )


def _llama_layer(layer: Any) -> tuple[Tensor, ...]:
    attention, mlp = layer.self_attn, layer.mlp
    return (
        layer.input_layernorm.weight.detach(),
        torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]).detach(),
        attention.o_proj.weight.detach(),
        layer.post_attention_layernorm.weight.detach(),
        torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]).detach(),
        mlp.down_proj.weight.detach(),
    )


@torch.inference_mode()
def _rotations(embedding: Any, context: int) -> tuple[Tensor, Tensor]:
    """Return cosines and signed sines of every place, (context, 1, width): x * cos + roll(x) * sin turns x."""
    device = embedding.inv_freq.device
    cos, sin = embedding(torch.zeros(1, device=device), torch.arange(context, device=device)[None])
    half = sin.shape[-1] // 2
    sin = torch.cat([-sin[..., :half], sin[..., half:]], dim=-1)
    return cos[0, :, None].contiguous(), sin[0, :, None].contiguous()
