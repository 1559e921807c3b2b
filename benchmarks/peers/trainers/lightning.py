"""PyTorch Lightning: a Trainer over DataLoaders, as its first page shows it, without logger, bar and checkpoints.

python -m benchmarks.peers.trainers.lightning DIGITS.npz EPOCHS THREADS
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import numpy as np
import pytorch_lightning as lightning
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.peers.network import mlp

BATCH = 128


class Digits(lightning.LightningModule):  # type: ignore[misc]  # not installed where types are checked
    """The network as Lightning wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.network = mlp()

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Loss of a batch."""
        x, y = batch
        return functional.cross_entropy(self.network(x), y)

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Accuracy of a batch."""
        x, y = batch
        self.log("accuracy", (self.network(x).argmax(dim=1) == y).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, fused as ours is."""
        return torch.optim.Adam(self.parameters(), lr=1e-3, fused=True)


def main(path: str, epochs: int, threads: int) -> None:
    """Train and print seconds and accuracy."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    arrays = np.load(path)
    began = time.perf_counter()
    x = torch.from_numpy(arrays["x"]).float().reshape(-1, 784)
    mean, std = x.mean(), x.std()
    test = (torch.from_numpy(arrays["test_x"]).float().reshape(-1, 784) - mean) / std
    train = TensorDataset((x - mean) / std, torch.from_numpy(arrays["y"]))
    held = TensorDataset(test, torch.from_numpy(arrays["test_y"]))
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(Digits(), DataLoader(train, batch_size=BATCH, shuffle=True), DataLoader(held, batch_size=1000))
    accuracy = float(trainer.callback_metrics["accuracy"])
    print(json.dumps({"seconds": time.perf_counter() - began, "accuracy": accuracy}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
