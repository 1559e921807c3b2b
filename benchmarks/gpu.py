"""The service on a GPU: training and serving as shares of what plain PyTorch reaches there, in turn in one run.

An MLP, a CNN and a small Llama, on rows by chance: what is learned is no matter. Of training what counts is an epoch
after the first, by the job's own diary, over the same epoch of a loop by hand whose rows lie on the device too; of
serving a request over loopback and its answer, over the same rows to the device and their probabilities back.
Both judge the tenth of the rows that is held out after each epoch. Where there is no GPU nothing is measured.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.timing import Row, table
from lmaas import LMaaS
from lmaas.testing import MockServer
from lmaas.types import CNN, MLP, Adam, AdamW, Architecture, CausalLM, ConstantSchedule, Llama, Validation
from lmaas_server.engine.architectures import causal_lm
from lmaas_server.engine.bundle import build_network
from lmaas_server.engine.device import device, use
from lmaas_server.services.npy import bytes_of

__all__ = ["FULL", "Sizes", "measure", "measured", "table"]

CLASSES = 10
TRAINING, SERVING = 0.8, 0.5
"""Shares to reach. The rest is what a service does beside the network: shuffling, figures; HTTP, checks, the log."""
_NPY = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}
_WORDS = "abcdefghijklmnopqrstuvwxyz \n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is trained and asked."""

    rows: int
    width: int
    """Numbers of a row of the MLP; pictures are of 28 by 28."""
    hidden: tuple[int, ...]
    channels: tuple[int, ...]
    batch: int
    epochs: int
    asked: int
    """Rows of a request."""
    llama: Llama
    characters: int
    texts: int
    """Written together."""
    tokens: int
    rounds: int
    """Beside one that does not count; 0: that one counts."""


FULL = Sizes(
    rows=60_000,
    width=784,
    hidden=(4096, 4096),
    channels=(64, 128),
    batch=64,
    epochs=4,
    asked=1024,
    llama=Llama(layers=8, heads=8, width=512, context=256, tokenizer="char"),
    characters=2_000_000,
    texts=32,
    tokens=200,
    rounds=5,
)


def measure() -> tuple[str, list[Row]]:
    """Return the rows of the table; one that says so where there is no GPU."""
    title = "On a GPU"
    if not torch.cuda.is_available():
        return title, [Row("training and serving, over plain PyTorch", "skipped: no GPU", "")]
    return f"{title} ({torch.cuda.get_device_name()})", measured(FULL, "cuda")


def measured(sizes: Sizes, name: str) -> list[Row]:
    """Return the rows of the table, measured on the device of that name."""
    use(name)
    with MockServer(device=name, job_memory_mb=32_768) as server, server.client() as client:
        stand = Stand(sizes, client, server.url)
        chance = np.random.default_rng(0)
        numbers = chance.standard_normal((sizes.rows, sizes.width), dtype=np.float32)
        pictures = chance.integers(0, 256, (sizes.rows, 28, 28), dtype=np.uint8)
        return [
            *_of_arrays(stand, "mlp", MLP(hidden=sizes.hidden), numbers),
            *_of_arrays(stand, "cnn", CNN(channels=sizes.channels), pictures),
            *_of_texts(stand),
        ]


@dataclass(frozen=True, slots=True)
class Stand:
    """How much is measured, and of which server."""

    sizes: Sizes
    client: LMaaS
    url: str


def _of_arrays(stand: Stand, name: str, asked: Architecture, x: np.ndarray) -> Iterator[Row]:
    sizes, client = stand.sizes, stand.client
    y = np.random.default_rng(1).integers(0, CLASSES, sizes.rows)
    dataset = client.datasets.create((x, y), name=name)
    trained = partial(_job_epoch, stand, dataset, name=name, architecture=asked, optimizer=Adam())
    network = _network(asked, x)
    held = torch.from_numpy(_laid_out(x)).to(device()), torch.from_numpy(y).to(device())
    yield _share(f"{name}: training", sizes, lambda: _epoch(network, *held, sizes), trained, TRAINING)
    client.deploy(f"{name}@1", name=name)
    some = x[: sizes.asked]
    body, rows = bytes_of(some), _laid_out(some)
    network.eval()

    # One connection for all: a new client reads its certificates first, for longer than a GPU computes.
    connection = httpx.Client(base_url=stand.url, headers=_NPY, timeout=60)

    def answered() -> float:
        began = time.perf_counter()
        connection.post(f"/v1/deployments/{name}/predictions", content=body).raise_for_status()
        return time.perf_counter() - began

    @torch.inference_mode()
    def plain() -> float:
        began = time.perf_counter()
        network(torch.from_numpy(rows).to(device())).softmax(dim=1).cpu()
        return time.perf_counter() - began

    what = f"{name}: a request of {sizes.asked} rows as npy"
    with connection:
        yield _share(what, sizes, partial(_median, plain), partial(_median, answered), SERVING)


def _network(asked: Any, x: np.ndarray) -> nn.Sequential:
    shape = _laid_out(x[:1]).shape[1:]
    return build_network(asked.model_dump(mode="json"), shape, CLASSES)


def _laid_out(x: np.ndarray) -> np.ndarray:
    """Return rows as a network takes them."""
    return x[:, None] / np.float32(255) if x.ndim == 3 else x


def _epoch(network: nn.Module, x: Tensor, y: Tensor, sizes: Sizes) -> float:
    """Return the seconds of an epoch of a loop by hand, after one that does not count."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    kept = len(x) * 9 // 10

    def step(rows: Tensor) -> None:
        optimizer.zero_grad()
        loss = functional.cross_entropy(network(x[rows]), y[rows])
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()

    def judge() -> float:
        found = [network(part).argmax(dim=1) for part in torch.split(x[kept:], 1024)]
        return float((torch.cat(found) == y[kept:]).float().mean())

    return _timed(network, partial(_shuffled, kept, sizes.batch), step, judge, sizes.epochs)


def _shuffled(count: int, batch: int) -> Iterator[Tensor]:
    order = torch.randperm(count, device=device())
    yield from (order[at : at + batch] for at in range(0, count, batch))


def _timed(
    network: nn.Module,
    batches: Callable[[], Iterator[Tensor]],
    step: Callable[[Tensor], None],
    judge: Callable[[], float],
    epochs: int,
) -> float:
    """Return the mean seconds of `epochs` after the first; what is judged ends on the CPU, and the GPU is done then."""
    ends = []
    for _ in range(epochs + 1):
        network.train()
        for batch in batches():
            step(batch)
        network.eval()
        with torch.inference_mode():
            judge()
        ends.append(time.perf_counter())
    return (ends[-1] - ends[0]) / epochs


def _job_epoch(stand: Stand, dataset: Any, **request: Any) -> float:
    """Return the mean seconds of an epoch of a job after the first, by when the server heard of their ends."""
    epochs, client = stand.sizes.epochs + 1, stand.client
    validation = Validation(fraction=0.1)
    job = client.train(dataset, epochs=epochs, batch_size=stand.sizes.batch, validation=validation, **request)
    client.jobs.wait(job, timeout=None)
    ends = [event.created_at for event in client.jobs.events(job) if event.type == "metrics"]
    return (ends[-1] - ends[0]) / stand.sizes.epochs


def _of_texts(stand: Stand) -> Iterator[Row]:
    sizes, client = stand.sizes, stand.client
    text = "".join(random.Random(0).choices(_WORDS, k=sizes.characters))
    dataset = client.datasets.create(text.encode(), format="txt", name="words")
    asked = {"architecture": CausalLM(llama=sizes.llama), "optimizer": AdamW(), "schedule": ConstantSchedule()}
    trained = partial(_job_epoch, stand, dataset, name="llama", **asked)
    config = causal_lm.llama_config(sizes.llama, vocabulary=len(_WORDS) + 2, bos=None, eos=None)
    network: Any = causal_lm.build(config)
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, len(_WORDS), sizes.characters)).to(device())
    yield _share("llama: training", sizes, lambda: _text_epoch(network, ids, sizes), trained, TRAINING)
    client.deploy("llama@1", name="llama")
    prompts = [text[at : at + 8] for at in range(sizes.texts)]

    @torch.inference_mode()
    def plain(texts: int) -> float:
        began = time.perf_counter()
        found = network.generate(
            ids[:8].expand(texts, -1), max_new_tokens=sizes.tokens, do_sample=False, pad_token_id=0
        ).cpu()  # what is asked of a GPU is done once it has come back
        return (time.perf_counter() - began) / int((found.shape[1] - 8) * texts)

    def written(texts: int) -> float:
        began = time.perf_counter()
        answer = client.predict("llama", prompts[:texts], temperature=0, max_tokens=sizes.tokens)
        return (time.perf_counter() - began) / sum(output.completion_tokens or 0 for output in answer.outputs)

    for texts in (1, sizes.texts):
        what = f"llama: a token of {texts} texts together, over transformers.generate"
        yield _share(what, sizes, partial(plain, texts), partial(written, texts), 1.0)


def _text_epoch(network: nn.Module, ids: Tensor, sizes: Sizes) -> float:
    """Return the seconds of an epoch over windows on the text, after one that does not count."""
    window = sizes.llama.context
    weights = list(network.parameters())
    optimizer = torch.optim.AdamW(weights, lr=1e-3, fused=True)
    windows = (len(ids) - 1) // window
    kept = windows * 9 // 10

    def loss(rows: Tensor) -> Tensor:
        places = rows[:, None] * window + torch.arange(window, device=device())
        logits = network(input_ids=ids[places], use_cache=False).logits
        return functional.cross_entropy(logits.flatten(0, 1), ids[places + 1].flatten())

    def step(rows: Tensor) -> None:
        optimizer.zero_grad()
        loss(rows).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()

    def judge() -> float:
        rows = torch.arange(kept, windows, device=device())
        return sum(float(loss(rows[at : at + sizes.batch])) for at in range(0, len(rows), sizes.batch))

    return _timed(network, partial(_shuffled, kept, sizes.batch), step, judge, sizes.epochs)


def _median(once: Callable[[], float], times: int = 20) -> float:
    return statistics.median(once() for _ in range(times))


def _share(what: str, sizes: Sizes, plain: Callable[[], float], ours: Callable[[], float], target: float) -> Row:
    """Measure seconds of the same work by hand and by the service, in turn, after a round that does not count."""
    pairs = [(plain(), ours()) for _ in range(sizes.rounds + 1)][-max(1, sizes.rounds) :]
    share = statistics.median(hand / served for hand, served in pairs)
    hand, served = (statistics.median(side) for side in zip(*pairs, strict=True))
    figure = f"{share:.2f}x ({hand * 1000:.3g} ms by hand, {served * 1000:.3g} ms served)"
    return Row(what, figure, f">= {target}x", share >= target)
