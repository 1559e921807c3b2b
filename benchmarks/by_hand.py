"""The loop that training through the service is held against, as one would write it in a notebook. Knows no service.

python -m benchmarks.by_hand DIGITS.npz EPOCHS THREADS
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH = 128


def main(path: str, epochs: int, threads: int) -> None:
    """Train MLP(512, 512): all rows scaled once, batches by index, fused Adam; print seconds and accuracy."""
    torch.set_num_threads(threads)
    digits = np.load(path)
    x, y, test_x, test_y = (torch.from_numpy(digits[name]) for name in ("x", "y", "test_x", "test_y"))
    started = time.perf_counter()
    torch.manual_seed(0)
    x = x.float().reshape(-1, 784)
    mean, std = x.mean(), x.std()
    x = (x - mean) / std
    test_x = (test_x.float().reshape(-1, 784) - mean) / std
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    accuracy = 0.0
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for at in range(0, len(x), BATCH):
            rows = order[at : at + BATCH]
            loss = functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
        accuracy = _accuracy(model, test_x, test_y)
    print(json.dumps({"seconds": time.perf_counter() - started, "accuracy": accuracy}))


@torch.inference_mode()
def _accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return float((model(x).argmax(dim=1) == y).float().mean())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
