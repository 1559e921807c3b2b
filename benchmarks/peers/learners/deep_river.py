"""deep-river: the MLP, trained in PyTorch, as a Classifier that learns row by row, or rows together.

python -m benchmarks.peers.learners.deep_river STREAM.npz ROWS_TOGETHER
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import torch
from deep_river.classification import Classifier
from torch import nn
from torch.nn import functional

from benchmarks.peers.learners.stream import Array, Stream, report
from benchmarks.peers.network import mlp

BATCH, EPOCHS = 128, 4
NAMES = list(range(784))


def champion(x: Array, y: Array) -> nn.Sequential:
    """Train on upright digits as our champion is: Adam, batches of 128, four epochs."""
    network, rows, labels = mlp(), torch.from_numpy(x), torch.from_numpy(y)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(rows)).split(BATCH):  # type: ignore[no-untyped-call]  # torch leaves both untyped
            optimizer.zero_grad()
            functional.cross_entropy(network(rows[chosen]), labels[chosen]).backward()  # type: ignore[no-untyped-call]  # likewise
            optimizer.step()
    return network


def main(path: str, together: int) -> None:
    """Learn the corrections with Adam at 1e-3, as ours does, and print what came of it."""
    torch.set_num_threads(1)
    stream = Stream.read(path)
    network = champion(*stream.upright)
    learner = Classifier(network, "cross_entropy", "adam", lr=1e-3)
    learner.observed_classes.update(range(10))  # those the network knows
    x, y = stream.turned
    if together == 1:
        pairs = [(dict(zip(NAMES, row, strict=True)), label) for row, label in zip(x.tolist(), y.tolist(), strict=True)]
    else:
        frame, labels = pd.DataFrame(x, columns=NAMES), pd.Series(y)
        parts = [slice(at, at + together) for at in range(0, len(y), together)]
        batches = [(frame.iloc[part], labels.iloc[part]) for part in parts]

    def learn() -> None:
        if together == 1:
            for row, label in pairs:
                learner.learn_one(row, label)
        else:
            for rows, several in batches:
                learner.learn_many(rows, several)

    @torch.inference_mode()
    def answers(rows: Array) -> Array:
        found: Array = np.asarray(network.eval()(torch.from_numpy(rows)).argmax(dim=1))
        return found

    report(stream, answers, learn)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
