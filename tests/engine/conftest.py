"""Small real datasets and trainings that the tests of the engine share."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lmaas.types import MLP, Adam, TrainingRequest
from lmaas_server.engine.data.examples import Examples, ReadLimits
from lmaas_server.engine.data.reader import read_dataset
from lmaas_server.engine.learning.train import train
from lmaas_server.engine.planning import plan_training
from lmaas_server.engine.reports import Finished

sys.path.insert(0, str(Path(__file__).parent / "parts"))  # importlib mode adds no paths
LIMITS = ReadLimits(max_unpacked_bytes=64 << 20)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Examples]:
    """Write bytes or arrays to a file and read it as an upload is read."""

    def reading(data: bytes | None = None, *, filename: str = "data.npz", limits: ReadLimits = LIMITS, **rest: Any):
        path = tmp_path / "upload"
        arrays = {name: rest.pop(name) for name in ("x", "y", "z") if name in rest}
        path.write_bytes(packed(**arrays) if data is None else data)
        return read_dataset(path, filename=filename, limits=limits, **rest)

    return reading


@pytest.fixture
def pack() -> Callable[..., bytes]:
    """Give the bytes of an npz of the named arrays."""
    return packed


@pytest.fixture
def pictures() -> Callable[..., bytes]:
    """Give the bytes of a zip of members: path -> bytes."""

    def zipping(members: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", compression) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return stream.getvalue()

    return zipping


@pytest.fixture
def png() -> Callable[..., bytes]:
    """Give the bytes of a PNG (or another format) of one grey or one colour."""

    def painting(value: Any = 128, *, size: tuple[int, int] = (8, 8), mode: str = "L", form: str = "PNG") -> bytes:
        stream = io.BytesIO()
        Image.new(mode, size, value).save(stream, format=form)
        return stream.getvalue()

    return painting


@pytest.fixture(scope="session")
def blobs() -> Examples:
    """300 rows of 6 numbers in three well-separated classes."""
    generator = np.random.default_rng(0)
    targets = generator.integers(3, size=300)
    centres = generator.normal(size=(3, 6)) * 3
    inputs = (centres[targets] + generator.normal(size=(300, 6))).astype(np.float32)
    return Examples(
        inputs=inputs,
        targets=targets,
        format="npz",
        input={"kind": "tensor", "shape": [6], "dtype": "float32", "normalize": "auto"},
        target={"kind": "class", "classes": ["a", "b", "c"]},
    )


@pytest.fixture(scope="session")
def lines() -> Examples:
    """200 rows of 4 numbers and two values that are linear in them, far from zero and of different spread."""
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(200, 4)).astype(np.float32)
    values = inputs @ np.array([[1, 100], [2, -50], [0, 0], [0, 10]]) + np.array([5, 1000])
    return Examples(
        inputs=inputs,
        targets=values.astype(np.float32),
        format="npz",
        input={"kind": "tensor", "shape": [4], "dtype": "float32", "normalize": "auto"},
        target={"kind": "value", "shape": [2]},
    )


@pytest.fixture(scope="session")
def plan() -> Callable[..., TrainingRequest]:
    """Plan a training of the given examples; fields of the request by name."""

    def planning(examples: Examples, **fields: Any) -> TrainingRequest:
        wanted = {"architecture": MLP(hidden=(16,)), "optimizer": Adam(lr=0.01), "epochs": 3} | fields
        request = TrainingRequest(dataset="ds-1", name="model", **wanted)
        return plan_training(request, {"input": examples.input, "target": examples.target, "rows": len(examples)})

    return planning


@pytest.fixture
def trained(plan: Callable[..., TrainingRequest], tmp_path: Path) -> Callable[..., Finished]:
    """Train to the end and return the last report."""

    def training(examples: Examples, directory: str = "run", **fields: Any) -> Finished:
        *_, last = train(examples, plan(examples, **fields), directory=tmp_path / directory)
        return last

    return training


@pytest.fixture(scope="session")
def blob_model(blobs: Examples, plan: Callable[..., TrainingRequest], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a classifier of blobs."""
    *_, last = train(blobs, plan(blobs, epochs=20), directory=tmp_path_factory.mktemp("blobs"))
    return last.bundle


@pytest.fixture(scope="session")
def line_model(lines: Examples, plan: Callable[..., TrainingRequest], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of a regression of lines."""
    *_, last = train(lines, plan(lines, epochs=40), directory=tmp_path_factory.mktemp("lines"))
    return last.bundle


def packed(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


@pytest.fixture
def limits_of() -> Callable[..., ReadLimits]:
    """Give limits, those of the tests where nothing else is said."""

    def limiting(**given: Any) -> ReadLimits:
        return ReadLimits(**{"max_unpacked_bytes": LIMITS.max_unpacked_bytes, **given})

    return limiting
