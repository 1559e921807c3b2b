"""A prompt as the token that follows it can be explained: where it lies, and what runs from there. Knows no method.

What is explained is the next token alone: its logit, before the softmax. The baseline has the mean of all tokens'
vectors in every place, so that where a token stands is kept and which it is is not: vectors of zeros have no length,
and networks as Llama divide by it. The token that begins every text stays.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from lmaas_server.engine.serving.points import Point, numbers_of
from lmaas_server.engine.serving.text_predictor import TextPredictor
from lmaas_server.errors import InvalidError

MOST_TOKENS = 512
"""Of a prompt that is explained: the way from the baseline takes hundreds of answers."""

__all__ = ["MOST_TOKENS", "point_of_prompt", "token_of"]


def point_of_prompt(predictor: TextPredictor, row: Any, index: int) -> Point:
    """Lay out one prompt.

    Raises:
        InvalidError: it cannot be answered, or has more than MOST_TOKENS tokens (`prompt_too_long`).
    """
    ids = predictor.prompt_of(row, index)
    if len(ids) > MOST_TOKENS:
        raise InvalidError(
            f"row {index} has {len(ids):,} tokens; prompts of up to {MOST_TOKENS:,} are explained",
            code="prompt_too_long",
            param=f"inputs[{index}]",
        )
    network: Any = predictor.network
    table: Tensor = network.get_input_embeddings().weight.detach()
    at = table[torch.tensor([ids])]  # (1, tokens, width)
    baseline = table.mean(dim=0).expand_as(at).clone()
    if ids[0] == predictor.tokens.bos:
        baseline[:, 0] = at[:, 0]
    words = [predictor.tokens.word(token) for token in ids]
    spans = list(pairwise(accumulate(map(len, words), initial=0)))

    def forward(vectors: Tensor) -> Tensor:
        logits: Tensor = network(inputs_embeds=vectors, use_cache=False, logits_to_keep=1).logits
        return logits[:, -1]  # (prompts, vocabulary)

    return Point(
        at=at,
        baseline=baseline,
        forward=forward,
        parts=torch.arange(len(ids))[None, :, None].expand_as(at),
        shaped=lambda found, pool: {
            "attributions": numbers_of(pool(found[0])),
            "input": "".join(words),
            "tokens": words,
            "spans": spans,
        },
    )


def token_of(predictor: TextPredictor, target: object) -> int | None:
    """Return the token that a caller names as it is written; None where none is named.

    Raises:
        InvalidError: `target_unknown`.
    """
    if target is None:
        return None
    tokens = predictor.tokens
    found = next((token for token in range(len(tokens)) if tokens.word(token) == target), None)
    if found is None:
        raise InvalidError(
            f"there is no token {target!r}; a target is one token as the model writes it, with the space before it "
            "where it has one",
            code="target_unknown",
            param="target",
        )
    return found
