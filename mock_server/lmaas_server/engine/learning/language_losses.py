"""What feedback on texts costs, as functions of log-likelihoods. Knows no network, no tokens and no feedback.

Likelihoods of the champion, which the candidate begins as, are the reference of both losses that compare.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lmaas_server.engine.learning.language_rows import IGNORED


def log_likelihoods(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the log-likelihood of each row's learned tokens: logits (rows, tokens, vocabulary) -> (rows,)."""
    rows, tokens, words = logits.shape
    losses = functional.cross_entropy(
        logits.reshape(rows * tokens, words), targets.reshape(-1), ignore_index=IGNORED, reduction="none"
    )
    return -losses.view(rows, tokens).sum(dim=1)


def preference_loss(chosen: Tensor, rejected: Tensor, *, beta: float) -> Tensor:
    """Return the loss of each pair by DPO (https://arxiv.org/abs/2305.18290, equation 7).

    Args:
        chosen: the log-likelihood of the better text less the reference's, (pairs,).
        rejected: the same of the other text.
        beta: how dear it is to leave the reference.
    """
    return -functional.logsigmoid(beta * (chosen - rejected))


def rating_loss(gained: Tensor, good: Tensor, *, drift: float, beta: float) -> Tensor:
    """Return the loss of each rated text by KTO (https://arxiv.org/abs/2402.01306, equation 8).

    Args:
        gained: the log-likelihood of the text less the reference's, (texts,).
        good: whether it was liked.
        drift: nats by which the candidate's texts differ from the reference's: what a text gains by nobody's merit.
        beta: how dear it is to leave the reference.
    """
    gain = beta * (gained - drift)
    return 1 - torch.sigmoid(torch.where(good, gain, -gain))


def divergences(reference: Tensor, other: Tensor, targets: Tensor) -> Tensor:
    """Return KL(reference || other) of each row's learned tokens, summed: logits (rows, tokens, vocabulary) -> (rows,).

    Of every next token the whole distribution is compared, which is far less noisy than the drawn token alone.
    """
    known = reference.log_softmax(dim=-1)
    apart = (known.exp() * (known - other.log_softmax(dim=-1))).sum(dim=-1)  # (rows, tokens)
    return apart.masked_fill(targets == IGNORED, 0.0).sum(dim=1)
