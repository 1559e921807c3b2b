"""An application with one small trained model, and ways to speak to it without a socket."""

from __future__ import annotations

import io
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmaas.types import MLP, Adam, TrainingRequest
from lmaas_server.app import create_app, server_of
from lmaas_server.engine.data.examples import ReadLimits
from lmaas_server.engine.data.reader import read_dataset
from lmaas_server.engine.planning import plan_training
from lmaas_server.services.models import bundle_key
from lmaas_server.settings import Settings

DEADLINE_SECONDS = 30.0
MULTIPART = "multipart/form-data; boundary=cut"


def npz(**arrays: Any) -> bytes:
    """An npz file of the given arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def blobs(rows: int = 60, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three classes of 4 numbers that a small network tells apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 3
    x = rng.normal(size=(rows, 4)).astype(np.float32) * 0.3
    x[:, 0] += y * 2.0
    return x, y


@dataclass(frozen=True)
class Trained:
    """A bundle on the disk and what the registry is told about it."""

    bundle: Path
    result: dict[str, Any]
    input: dict[str, Any]
    target: dict[str, Any]
    task: str

    def register(self, server, name: str = "blobs"):
        """Make it the next version of `name`."""

        def place(record):
            shutil.copytree(self.bundle, server.artifacts.path(bundle_key(record)))

        return server.storage.models.add_version(
            name,
            task=self.task,
            architecture={"type": "mlp", "hidden": [8]},
            parameters=self.result["parameters"],
            bytes=1,
            sha256=self.result["weights_sha256"],
            metrics={},
            input=self.input,
            target=self.target,
            lineage={"job": None, "dataset": None, "parent": None, "feedback": 0},
            created_at=time.time(),
            place=place,
        )


def _train(directory: Path, x, y, *, seed: int = 0) -> Trained:
    from lmaas_server.engine.learning.train import train

    path = directory / "data.npz"
    path.write_bytes(npz(x=x, y=y))
    examples = read_dataset(path, limits=ReadLimits(max_unpacked_bytes=2**24))
    request = TrainingRequest(
        dataset="ds-x", name="x", architecture=MLP(hidden=(8,)), optimizer=Adam(lr=0.02), epochs=30, seed=seed
    )
    described = {"input": examples.input, "target": examples.target, "rows": len(examples)}
    plan = plan_training(request, described)
    *_, finished = train(examples, plan, directory=directory)
    return Trained(finished.bundle, finished.result, examples.input, examples.target, plan.task)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory) -> Trained:
    """Classes 0, 1, 2 of 4 numbers."""
    return _train(tmp_path_factory.mktemp("classifier"), *blobs())


@pytest.fixture(scope="session")
def other_classifier(tmp_path_factory) -> Trained:
    """The same task with other weights."""
    return _train(tmp_path_factory.mktemp("other"), *blobs(seed=1), seed=1)


@pytest.fixture(scope="session")
def word_classifier(tmp_path_factory) -> Trained:
    """Classes `a`, `b`, `c` of 4 numbers."""
    x, y = blobs()
    return _train(tmp_path_factory.mktemp("words"), x, np.array(["a", "b", "c"])[y])


@pytest.fixture(scope="session")
def regressor(tmp_path_factory) -> Trained:
    """Two values of 4 numbers."""
    x, _ = blobs()
    return _train(tmp_path_factory.mktemp("values"), x, x[:, :2] * 3)


@pytest.fixture
def settings(tmp_path) -> dict[str, Any]:
    """What the application is made with; a test module may replace it."""
    return {"data_dir": tmp_path / "data", "prewarm": False, "drain_seconds": 1.0}


class Clock:
    """Unix seconds that stand still until they are moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def unattended(settings, clock):
    """An application on a clock that stands still, whose jobs nobody runs and whose steward nobody wakes."""
    made = create_app(Settings(**settings), clock=clock)
    server_of(made).deploying.start()
    yield made
    server_of(made).close()


@pytest.fixture
def app(settings):
    """A running application."""
    made = create_app(Settings(**settings))
    server_of(made).start()
    yield made
    server_of(made).close()


@pytest.fixture
def server(app):
    """What stands behind the application."""
    return server_of(app)


@pytest.fixture
def http(app):
    """Requests without a socket."""
    return app.test_client()


class Ask:
    """The requests that most tests make, in one line each."""

    npz = staticmethod(npz)
    blobs = staticmethod(blobs)

    def __init__(self, http) -> None:
        self.http = http

    @staticmethod
    def rows(count: int = 1) -> list[list[float]]:
        """Rows the models take."""
        return blobs(count)[0].tolist()

    @staticmethod
    def wait_for(happened, *, seconds: float = DEADLINE_SECONDS) -> None:
        """Ask again and again until it has happened; a test fails where it does not."""
        end, pause = time.monotonic() + seconds, threading.Event()
        while not happened():
            assert time.monotonic() < end, "it did not happen in time"
            pause.wait(0.005)

    def deploy(self, model: str, *, name: str = "d", **more: Any) -> None:
        """Deploy a model and wait until it has started."""
        answer = self.http.post("/v1/deployments", json={"name": name, "model": model, **more})
        assert answer.status_code == 200, answer.json
        self.wait_for(lambda: self.http.get(f"/v1/deployments/{name}").json["status"] != "starting")

    def predict(self, count: int = 1, *, name: str = "d", headers=None, **more: Any):
        """Ask for predictions and return the answer."""
        body = {"inputs": self.rows(count), **more}
        return self.http.post(f"/v1/deployments/{name}/predictions", json=body, headers=headers)

    def label(self, prediction: str, value: Any, *, headers=None, **more: Any):
        """Say what row 0 should have been and return the answer."""
        body = {"prediction_id": prediction, "kind": "label", "value": value, **more}
        return self.http.post("/v1/feedback", json=body, headers=headers)

    def upload(self, content: bytes, *, filename: str = "data.npz", headers=None, **fields: str):
        """Send a file as a dataset and return the answer."""
        body = self.multipart(content, filename=filename, **fields)
        return self.http.post("/v1/datasets", data=body, content_type=MULTIPART, headers=headers)

    @staticmethod
    def multipart(content: bytes, *, filename: str = "data.npz", **fields: str) -> bytes:
        """The body of such a request."""
        parts = [f'--cut\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
        head = f'--cut\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
        return "".join([*parts, head]).encode() + content + b"\r\n--cut--\r\n"


@pytest.fixture(scope="session")
def shared(tmp_path_factory, classifier) -> Iterator[Ask]:
    """Requests to one application for every test that changes nothing others see: the classifier serves as `d`.

    Its jobs wait for ever.
    """
    made = create_app(Settings(data_dir=tmp_path_factory.mktemp("shared"), prewarm=False))
    server = server_of(made)
    server.deploying.start()
    classifier.register(server)
    asked = Ask(made.test_client())
    asked.deploy("blobs")
    yield asked
    server.close()


@pytest.fixture
def ask(http) -> Ask:
    """Requests to the application."""
    return Ask(http)


@pytest.fixture
def deployed(ask, server, classifier) -> Ask:
    """Requests to the application, where the classifier serves as `d`."""
    classifier.register(server)
    ask.deploy("blobs")
    return ask
