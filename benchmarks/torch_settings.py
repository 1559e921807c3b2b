"""How a small network is best asked on one thread of a CPU: each way over calling its modules, in turn in one run.

    python -m benchmarks.torch_settings

The network is the MLP 784-512-512-10, and a CNN of two blocks on 28x28 for channels-last. Not among the targets: it is
where the choices of `engine.serving` come from. `torch.compile` wants a C++ compiler.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.timing import Row, alternate, table

CALLS = 300
_SIZES = (2, 4, 8, 16, 64)


def measure() -> tuple[str, list[Row]]:
    """Measure every way."""
    warnings.simplefilter("ignore")  # tracing and dynamic quantization are on their way out
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    ).requires_grad_(requires_grad=False)
    network.eval()
    row = torch.rand(1, 784)
    with torch.inference_mode():
        rows = [_against(network, row, what, way) for what, way in _ways(network, row).items()]
        rows += [_of_batch(network, row, size) for size in _SIZES]
        rows += [_of_channels_last(size) for size in (1, 16)]
    return "One row on one thread, time over calling the modules", rows


def _ways(network: nn.Sequential, row: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    steps = [layer.forward for layer in network]
    traced = torch.jit.freeze(torch.jit.trace(network, row))  # type: ignore[no-untyped-call]  # torch leaves it untyped
    low = copy.deepcopy(network).bfloat16()
    quantize: Callable[..., nn.Module] = torch.ao.quantization.quantize_dynamic  # torch leaves it untyped
    whole = quantize(network, {nn.Linear}, dtype=torch.qint8)

    def unhooked(batch: Tensor) -> Tensor:
        for step in steps:
            batch = step(batch)
        return batch

    return {
        "modules past their hooks (used)": unhooked,
        "torch.compile": torch.compile(network),
        "traced and frozen": traced,
        "traced, optimize_for_inference": torch.jit.optimize_for_inference(traced),
        "bfloat16": lambda batch: low(batch.bfloat16()).float(),
        "int8 weights, dynamic": whole,
    }


def _against(network: nn.Sequential, batch: Tensor, what: str, way: Callable[[Tensor], Tensor]) -> Row:
    way(batch)  # what is compiled is compiled with its first call
    usual, ours = alternate(lambda: _timed(network, batch), lambda: _timed(way, batch), rounds=9)
    return Row(what, f"{ours / usual:.2f}x", "")


def _of_batch(network: nn.Sequential, row: Tensor, size: int) -> Row:
    batch = row.repeat(size, 1)
    alone, together = alternate(lambda: _timed(network, row), lambda: _timed(network, batch), rounds=9)
    return Row(f"{size} rows together, each", f"{together / size / alone:.2f}x", "")


def _of_channels_last(size: int) -> Row:
    blocks = [
        layer
        for seen, made in ((1, 32), (32, 64))
        for layer in (nn.Conv2d(seen, made, 3, padding=1), nn.BatchNorm2d(made), nn.MaxPool2d(2), nn.ReLU())
    ]
    network = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU(), nn.Linear(128, 10)).eval()
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its types
    batch = torch.rand(size, 1, 28, 28)
    return _against(
        network,
        batch,
        f"CNN, {size} images, channels-last",
        lambda images: last(images.contiguous(memory_format=torch.channels_last)),
    )


def _timed(way: Callable[[Tensor], Tensor], batch: Tensor) -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        way(batch)
    return time.perf_counter() - began


if __name__ == "__main__":
    print(table(*measure()))
