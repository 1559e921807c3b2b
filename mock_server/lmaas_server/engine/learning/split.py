"""Which rows train and which are held out: a function of the seed and the targets alone. No torch."""

from __future__ import annotations

import numpy as np

from lmaas_server.engine.data.examples import Array, Examples


def split_rows(examples: Examples, fraction: float, seed: int) -> tuple[Array, Array]:
    """Return the indices of training and of held-out rows, both sorted.

    Classes are held out in proportion (stratified), and one with a single row stays in training. At least one row is
    held out and at least one stays.
    """
    count = len(examples)
    wanted = min(max(1, round(count * fraction)), count - 1)
    order = np.random.default_rng(seed).permutation(count)
    if examples.target["kind"] != "class" or examples.targets is None or examples.multiple:
        held = order[:wanted]
    else:
        held = _stratified(order, examples.targets[order], wanted, len(examples.classes))
    kept = np.setdiff1d(np.arange(count), held, assume_unique=True)
    return kept, np.sort(held)


def _stratified(order: Array, targets: Array, wanted: int, classes: int) -> Array:
    """Take of each class its share, rounded by the largest remainder."""
    sizes = np.bincount(targets, minlength=classes)
    exact = wanted * sizes / sizes.sum()
    shares = np.floor(exact).astype(np.int64)
    # A stable sort of the remainders: the same targets always give the same shares.
    for index in np.argsort(shares - exact, kind="stable")[: wanted - int(shares.sum())]:
        shares[index] += 1
    shares = np.minimum(shares, np.maximum(sizes - 1, 0))
    held = [order[targets == index][:share] for index, share in enumerate(shares)]
    found = np.concatenate(held)
    # Only where every class has one row is nothing left to hold out; then one row must go without training.
    return found if len(found) else order[:1]
