"""What a language model writes by itself: drawn for replay, and to measure how far it has moved. Knows no feedback.

Everything follows from the seed: rows are written side by side in one order, so their sums never depend on chance.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from random import Random

import numpy as np
import torch
from torch import Tensor, nn

from lmaas_server.engine.architectures import causal_lm
from lmaas_server.engine.base_models import context_of
from lmaas_server.engine.data.tokens import Marked
from lmaas_server.engine.device import device
from lmaas_server.engine.learning.language_losses import divergences, log_likelihoods
from lmaas_server.engine.learning.language_rows import IGNORED
from lmaas_server.engine.serving.decoding import Decoder, decoder_of
from lmaas_server.engine.serving.memory import Memory
from lmaas_server.engine.serving.sampling import Sampling, choose

TOGETHER = 64
"""Texts written side by side."""
_TOKENS_TOGETHER = 8192
"""Of a batch that is only measured."""


@torch.no_grad()
def written(
    network: nn.Module, prompts: Sequence[Sequence[int]], *, length: int, ends: Collection[int], seed: int
) -> list[Marked]:
    """Return each prompt with what the network writes after it at temperature 1: `length` tokens, or up to its end.

    Of its context at most half is written, and of a prompt that leaves too little room only the end is read.
    """
    context = context_of(network.config.to_dict())  # type: ignore[union-attr, operator]  # a PreTrainedModel
    length = min(length, context // 2)
    prompts = [prompt[-(context - length) :] for prompt in prompts]
    decoder = decoder_of(causal_lm.merged(copy.deepcopy(network)))  # it freezes what it is given
    # By length, so that many prompts are read at once.
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    found: dict[int, Marked] = {}
    for at in range(0, len(order), TOGETHER):
        places = order[at : at + TOGETHER]
        randoms = [Random(f"{seed}:{place}") for place in places]  # noqa: S311 - draws words, not keys
        texts = _together(decoder, [prompts[place] for place in places], length, ends, randoms)
        for place, text in zip(places, texts, strict=True):
            prompt = list(prompts[place])
            learned = [False] * len(prompt) + [True] * len(text)
            found[place] = Marked(ids=prompt + text, learned=learned)
    return [found[place] for place in range(len(prompts))]


@torch.no_grad()
def divergence(network: nn.Module, reference: nn.Module, texts: Sequence[Marked]) -> float:
    """Return KL(network || reference) in nats a text, on texts that the network has written."""
    total = 0.0
    for rows in _batches(texts):
        inputs, targets = padded([texts[row] for row in rows])
        total += float(divergences(logits_of(network, inputs), logits_of(reference, inputs), targets).sum())
    return total / max(1, len(texts))


@torch.no_grad()
def likelihoods(network: nn.Module, texts: Sequence[Marked]) -> Tensor:
    """Return the log-likelihood of each text's learned tokens, (texts,)."""
    found = torch.zeros(len(texts), device=device())
    for rows in _batches(texts):
        inputs, targets = padded([texts[row] for row in rows])
        found[rows] = log_likelihoods(logits_of(network, inputs), targets)
    return found


def padded(texts: Sequence[Marked]) -> tuple[Tensor, Tensor]:
    """Return inputs and targets on the device, (texts, tokens) each; a target is the next token, if learned."""
    length = max(len(text) for text in texts) - 1
    inputs = np.zeros((len(texts), length), dtype=np.int64)
    targets = np.full((len(texts), length), IGNORED, dtype=np.int64)
    for row, text in enumerate(texts):
        ids = np.asarray(text.ids, dtype=np.int64)
        inputs[row, : len(ids) - 1] = ids[:-1]
        targets[row, : len(ids) - 1] = np.where(text.learned[1:], ids[1:], IGNORED)
    return torch.from_numpy(inputs).to(device()), torch.from_numpy(targets).to(device())


def logits_of(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return (texts, tokens, vocabulary). Texts are padded at their ends, which nothing before them looks at."""
    logits: Tensor = network(input_ids=inputs, use_cache=False).logits
    return logits


def _together(
    decoder: Decoder, prompts: Sequence[Sequence[int]], length: int, ends: Collection[int], randoms: Sequence[Random]
) -> list[list[int]]:
    wish = Sampling(max_tokens=length)
    memory, scores = _read(decoder, prompts)
    texts: list[list[int]] = [[] for _ in prompts]
    active = list(range(len(prompts)))
    for step in range(length):
        tokens = choose(scores, [(wish, randoms[row]) for row in active])
        for row, token in zip(active, tokens, strict=True):
            texts[row].append(token)
        staying = [place for place, token in enumerate(tokens) if token not in ends]
        if not staying or step + 1 == length:
            break
        if len(staying) < len(active):
            memory.keep(staying)
            active, tokens = [active[place] for place in staying], [tokens[place] for place in staying]
        scores = decoder.read(memory, torch.tensor(tokens)[:, None])
    return texts


def _read(decoder: Decoder, prompts: Sequence[Sequence[int]]) -> tuple[Memory, Tensor]:
    """Read prompts in order of length, those of one length at once; return scores of what comes next."""
    memory: Memory | None = None
    scores: list[Tensor] = []
    lengths = sorted({len(prompt) for prompt in prompts})
    for length in lengths:
        group = [list(prompt) for prompt in prompts if len(prompt) == length]
        part = Memory(decoder.layout, len(group), length)
        scores.append(decoder.read(part, torch.tensor(group)))
        if memory is None:
            memory = part
        else:
            memory.join(part)
    if memory is None:
        raise ValueError("there is no prompt to read")
    return memory, torch.cat(scores)


def _batches(texts: Sequence[Marked]) -> list[list[int]]:
    """Return the places of texts in batches of about one length."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    batches: list[list[int]] = []
    for place in order:
        if not batches or (len(batches[-1]) + 1) * len(texts[place]) > _TOKENS_TOGETHER:
            batches.append([])
        batches[-1].append(place)
    return batches
