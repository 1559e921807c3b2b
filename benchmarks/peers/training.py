"""A training job of this service, the loop by hand, PyTorch Lightning and Keras, in turn: A B C D A B C D.

What a peer takes to be imported counts for nobody; what it takes to lay out the rows and to compile counts.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.environments import NotInstalledError, Peer
from benchmarks.timing import Row
from benchmarks.training import EPOCHS, THREADS, Run, by_hand, by_service, read_mnist, trained, write_npz
from lmaas.testing import MockServer

__all__ = ["measure"]

ALL = {"loop by hand": 1.05, "lightning": 1.0, "keras": 1.0}
"""The most that ours may take of each."""


def measure(rounds: int) -> tuple[str, list[Row]]:
    """Return our time over each of theirs: medians of the ratios of each round, after one that does not count."""
    digits = read_mnist()
    with tempfile.TemporaryDirectory() as directory, MockServer(job_threads=THREADS) as server:
        path = write_npz(digits, Path(directory, "digits.npz"))
        client = server.client()
        train = client.datasets.create((digits.x, digits.y), name="mnist")
        test = client.datasets.create((digits.test_x, digits.test_y), name="mnist-test")
        ways: dict[str, Callable[[], Run]] = {"ours": lambda: by_service(client, train, test)}
        rows = []
        for name in ALL:
            try:
                ways[name] = (lambda: by_hand(path, EPOCHS)) if name == "loop by hand" else trainer(name, path)
            except NotInstalledError as exc:
                rows.append(Row(name, f"not measured: {exc}", ""))
        found = [{name: way() for name, way in ways.items()} for _ in range(rounds + 1)][1:]
        client.close()
    rows += [_row(name, found) for name in ways if name != "ours"]
    return f"Training on MNIST beside others ({EPOCHS} epochs, {THREADS} threads, {rounds} rounds)", rows


def trainer(name: str, path: Path) -> Callable[[], Run]:
    """Return what trains in the environment of a peer.

    Raises:
        NotInstalledError: It cannot be made here.
    """
    command = [Peer(name).python(), "-m", f"benchmarks.peers.trainers.{name}", str(path), str(EPOCHS), str(THREADS)]
    return lambda: trained(command)


def _row(name: str, found: list[dict[str, Run]]) -> Row:
    share = statistics.median(one["ours"].seconds / one[name].seconds for one in found)
    seconds, accuracy = (
        [statistics.median(getattr(one[way], figure) for one in found) for way in ("ours", name)]
        for figure in ("seconds", "accuracy")
    )
    whole = name if name == "loop by hand" else Peer(name).versions
    figure = f"{share:.2f}x ({seconds[0]:.1f} over {seconds[1]:.1f} s; {accuracy[0]:.2%} and {accuracy[1]:.2%})"
    return Row(f"our job over {whole}", figure, f"<= {ALL[name]}x", share <= ALL[name])
