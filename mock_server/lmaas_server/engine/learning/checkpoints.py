"""A training run as it lies on disk: written whole, read back to the bit. Knows no loop.

checkpoint.json       step, epoch, the best epoch so far, sums of the epoch under way
state.safetensors     weights, best weights, optimizer states, torch's random state, that of the device too
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from lmaas_server.engine.bundle import Tensors, read_tensors, write_directory
from lmaas_server.engine.data.examples import Json
from lmaas_server.engine.device import device
from lmaas_server.errors import InvalidError


@dataclass(slots=True, eq=False)
class State:
    """Where a run stands: everything that the next step depends on beside network, optimizer and random state."""

    step: int = 0
    epoch: int = 0
    """Epochs ended."""
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64, device=device()))
    """Over the steps of the epoch under way."""
    best: float | None = None
    best_epoch: int = 0
    best_weights: Tensors = field(default_factory=dict)
    waited: int = 0
    metrics: Json = field(default_factory=dict)
    outputs: Tensor | None = None
    """For the held-out rows, as the last epoch left the network; not kept in checkpoints."""

    def __repr__(self) -> str:
        return f"State(step={self.step}, epoch={self.epoch}, best_epoch={self.best_epoch})"


@dataclass(frozen=True, slots=True)
class _Numbers:
    step: int
    epoch: int
    best: float | None
    best_epoch: int
    waited: int
    metrics: Json


def write_checkpoint(
    directory: Path, state: State, network: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Path, int]:
    """Write `directory/step-N`, complete; return it and its size in bytes."""
    tensors: Tensors = {"random": torch.get_rng_state(), "loss_sum": state.loss_sum}
    if torch.device(device()).type == "cuda":
        tensors["random.cuda"] = torch.cuda.get_rng_state(device())
    tensors |= {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best_weights.items()}
    for index, states in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in states.items() if isinstance(value, Tensor)}
    numbers = _Numbers(state.step, state.epoch, state.best, state.best_epoch, state.waited, state.metrics)
    target = directory / f"step-{state.step:08d}"
    size = write_directory(
        target,
        {
            "checkpoint.json": json.dumps(asdict(numbers)).encode(),
            "state.safetensors": tensors,
        },
    )
    return target, size


def read_checkpoint(directory: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> State:
    """Put network, optimizer and random state where the checkpoint left them and return the rest."""
    tensors = read_tensors(directory / "state.safetensors")
    try:
        numbers = _Numbers(**json.loads((directory / "checkpoint.json").read_bytes()))
        network.load_state_dict(_under("network.", tensors))
        _load_optimizer(optimizer, _under("optimizer.", tensors))
        torch.set_rng_state(tensors["random"])
        if torch.device(device()).type == "cuda" and "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], device())
    except (ValueError, TypeError, KeyError, RuntimeError) as exc:
        raise InvalidError(f"the checkpoint {directory.name} does not fit this job", code="checkpoint_damaged") from exc
    return State(
        step=numbers.step,
        epoch=numbers.epoch,
        loss_sum=tensors["loss_sum"].to(device()),
        best=numbers.best,
        best_epoch=numbers.best_epoch,
        best_weights=_under("best.", tensors),
        waited=numbers.waited,
        metrics=numbers.metrics,
    )


def _under(prefix: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    states: dict[int, Tensors] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        states.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
