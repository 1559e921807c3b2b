"""The benchmark of a GPU, which seldom is at hand: it says so without one, and on a processor it runs to its end."""

from __future__ import annotations

import pytest
import torch

from benchmarks import gpu
from lmaas.types import Llama

TINY = gpu.Sizes(
    rows=60,
    width=8,
    hidden=(8,),
    channels=(4,),
    batch=16,
    epochs=1,
    asked=4,
    llama=Llama(layers=1, heads=2, width=16, context=32, tokenizer="char"),
    characters=1_500,
    texts=2,
    tokens=4,
    rounds=0,
)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_it_says_that_there_is_no_gpu():
    (row,) = gpu.measure()[1]
    assert row.figure == "skipped: no GPU"


def test_every_row_of_its_table_is_measured():
    rows = gpu.measured(TINY, "cpu")
    assert [row.what.split(":")[0] for row in rows] == ["mlp", "mlp", "cnn", "cnn", "llama", "llama", "llama"]
    assert all("ms served" in row.figure for row in rows)
