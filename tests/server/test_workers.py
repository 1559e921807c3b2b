"""`lmaas-server --workers 2`: two processes that are one server to whoever asks.

Every request goes over a connection of its own, which the kernel gives to one process or the other.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from lmaas_server.app import create_app, server_of
from lmaas_server.settings import Settings


class Pair:
    """A server of two workers, and its processes."""

    def __init__(self, directory: Path, **settings: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LMAAS_")}
        named = {f"LMAAS_SERVER_{name.upper()}": value for name, value in settings.items()}
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lmaas_server", "--port", "0", "--workers", "2", "--data-dir", str(directory)],
            stdout=subprocess.PIPE,
            text=True,
            env={**kept, "OMP_NUM_THREADS": "1", "LMAAS_SERVER_PREWARM": "false", **named},
        )
        self.url = re.search(r"http://[^,]+", self.process.stdout.readline()).group()

    def ask(self, method: str, path: str, body=None, **headers: str):
        """One request over a new connection; a process that was killed under it is asked again."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Connection": "close", **headers}
        asked = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)  # noqa: S310
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def read(self, path: str) -> str:
        """What is there as text."""
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:  # noqa: S310
            return answer.read().decode()

    def predict(self, row, name: str = "d"):
        return self.ask("POST", f"/v1/deployments/{name}/predictions", {"inputs": row})

    @property
    def workers(self) -> set[int]:
        """The processes that serve, by their ids."""
        pid = self.process.pid
        return {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    @property
    def leader(self) -> int | None:
        """The process that runs jobs: the one that holds the lock."""
        inode = (self.directory / "crew" / "leader").stat().st_ino
        held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        return next((int(lock[4]) for lock in held if lock[1] == "FLOCK" and lock[5].endswith(f":{inode}")), None)

    def end(self) -> int:
        self.process.terminate()
        status = self.process.wait(30)
        self.process.stdout.close()
        return status


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, classifier, other_classifier):
    """Make a data directory with two versions, the first of which serves as `d`."""

    def prepare() -> Path:
        directory = tmp_path_factory.mktemp("pair") / "data"
        app = create_app(Settings(data_dir=directory, prewarm=False))
        server = server_of(app)
        server.deploying.start()
        classifier.register(server)
        other_classifier.register(server)
        app.test_client().post("/v1/deployments", json={"name": "d", "model": "blobs@1"})
        wait_for(lambda: server.storage.deployments.get("d").status == "ready")
        server.close()
        return directory

    return prepare


@pytest.fixture(scope="module")
def pair(prepared):
    """A server of two workers that tests share: none kills a process of it."""
    running = Pair(prepared(), max_jobs="2")
    wait_for(lambda: len(running.workers) == 2)
    yield running
    running.end()


def wait_for(happened, seconds: float = 30.0) -> None:
    end, pause = time.monotonic() + seconds, threading.Event()
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        pause.wait(0.005)


def still(ask):
    """Ask again where the process that was asked has died under it."""
    try:
        return ask()
    except (urllib.error.URLError, ConnectionError):
        return None


ROW = [[2.0, 0.1, 0.0, 0.1]]


def test_a_version_that_is_deployed_serves_in_every_process_within_a_second(pair):
    assert {pair.predict(ROW)["model"] for _ in range(12)} == {"blobs@1"}
    pair.ask("PATCH", "/v1/deployments/d", {"model": "blobs@2"})
    changed = last = time.monotonic()
    newer = 0
    while newer < 40:  # a process that had missed it would show among so many
        if pair.predict(ROW)["model"] == "blobs@2":
            newer += 1
        else:
            last, newer = time.monotonic(), 0
            assert last - changed < 1.0
    pair.ask("PATCH", "/v1/deployments/d", {"model": "blobs@1"})


def test_a_deployment_that_is_gone_is_gone_in_every_process_within_a_second(pair):
    pair.ask("POST", "/v1/deployments", {"name": "gone", "model": "blobs@1"})
    wait_for(lambda: pair.ask("GET", "/v1/deployments/gone")["status"] == "ready")
    for _ in range(12):
        pair.predict(ROW, "gone")
    pair.ask("DELETE", "/v1/deployments/gone")
    deleted = time.monotonic()
    refused = 0
    while refused < 40:
        try:
            pair.predict(ROW, "gone")
            refused = 0
            assert time.monotonic() - deleted < 1.0
        except urllib.error.HTTPError:
            refused += 1


def test_feedback_at_once_finds_the_prediction_that_another_process_gave(pair):
    for _ in range(40):
        prediction = pair.predict(ROW)["id"]
        said = pair.ask("POST", "/v1/feedback", {"prediction_id": prediction, "kind": "label", "value": 1})
        assert said["prediction_id"] == prediction


def test_figures_are_those_of_all_processes(pair):
    pair.ask("POST", "/v1/deployments", {"name": "counted", "model": "blobs@1"})
    wait_for(lambda: pair.ask("GET", "/v1/deployments/counted")["status"] == "ready")
    for _ in range(30):
        pair.predict(ROW, "counted")
    stats = "/v1/deployments/counted/stats?window=1h"
    line = 'lmaas_predicted_rows_total{deployment="counted",outcome="answered"} 30.0'
    for _ in range(6):
        wait_for(lambda: pair.ask("GET", stats)["requests"] == 30, 10)
        wait_for(lambda: pair.ask("GET", "/v1/deployments/counted")["stats"]["requests"] == 30, 10)
        wait_for(lambda: line in pair.read("/metrics"), 10)


def test_the_same_key_in_any_process_is_the_same_work(pair):
    ask = lambda: pair.ask(  # noqa: E731
        "POST", "/v1/deployments", {"name": "once", "model": "blobs@1"}, **{"Idempotency-Key": "k"}
    )
    assert len({ask()["created_at"] for _ in range(12)}) == 1


@pytest.fixture(scope="module")
def dataset(pair, blobs_file):
    return upload(pair, blobs_file)


@pytest.fixture(scope="module")
def blobs_file():
    import io

    import numpy as np

    rng, y = np.random.default_rng(0), np.arange(300) % 3
    x = rng.normal(size=(300, 4)).astype(np.float32)
    x[:, 0] += y * 2
    stream = io.BytesIO()
    np.savez(stream, x=x, y=y)
    return stream.getvalue()


def upload(server: Pair, content: bytes) -> str:
    head = '--cut\r\nContent-Disposition: form-data; name="file"; filename="blobs.npz"\r\n\r\n'
    body = head.encode() + content + b"\r\n--cut--\r\n"
    asked = urllib.request.Request(  # noqa: S310
        f"{server.url}/v1/datasets", body, {"Content-Type": "multipart/form-data; boundary=cut"}
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
        return json.load(answer)["id"]


def train(server: Pair, dataset: str, name: str, epochs: int = 3) -> str:
    request = {"type": "training", "dataset": dataset, "name": name, "epochs": epochs, "batch_size": 8}
    return server.ask("POST", "/v1/jobs", request)["id"]


def test_a_job_runs_once_whichever_process_was_asked(pair, dataset):
    jobs = [train(pair, dataset, "once") for _ in range(4)]
    for job in jobs:
        wait_for(lambda job=job: pair.ask("GET", f"/v1/jobs/{job}")["status"] == "succeeded", 60)
        events = pair.ask("GET", f"/v1/jobs/{job}/events?limit=1000")["data"]
        statuses = [event["data"]["status"] for event in events if event["type"] == "status"]
        assert statuses == ["queued", "running", "succeeded"]
    assert {model["version"] for model in pair.ask("GET", "/v1/models?name=once")["data"]} == {1, 2, 3, 4}


def test_events_are_followed_from_every_process_to_the_end(pair, dataset):
    job = train(pair, dataset, "followed")
    seen: list[list[bytes]] = []

    def follow() -> None:
        url, headers = f"{pair.url}/v1/jobs/{job}/events", {"Accept": "text/event-stream"}
        asked = urllib.request.Request(url, headers=headers)  # noqa: S310
        with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
            seen.append([line for line in answer if line.startswith((b"id:", b"data: [DONE]"))])

    followers = [threading.Thread(target=follow) for _ in range(6)]
    for follower in followers:
        follower.start()
    for follower in followers:
        follower.join(60)
    assert len(seen) == 6
    assert all(lines == seen[0] and lines[-1].startswith(b"data: [DONE]") for lines in seen)


def test_a_job_is_cancelled_by_whichever_process_was_asked(pair, dataset):
    for _ in range(3):
        job = train(pair, dataset, "cancelled", epochs=10_000)
        wait_for(lambda job=job: pair.ask("GET", f"/v1/jobs/{job}")["status"] == "running", 60)
        pair.ask("POST", f"/v1/jobs/{job}/cancel")
        wait_for(lambda job=job: pair.ask("GET", f"/v1/jobs/{job}")["status"] == "cancelled", 10)


def test_a_limit_holds_for_all_processes_together(tmp_path):
    server = Pair(tmp_path, rate_limit_per_minute="6")
    answers = []
    for _ in range(24):
        try:
            server.ask("GET", "/v1/models")
            answers.append(200)
        except urllib.error.HTTPError as exc:
            answers.append(exc.code)
    assert set(answers) == {200, 429}
    assert 6 <= answers.count(200) <= 8  # one comes back every ten seconds
    assert server.end() == 0


def test_a_killed_process_is_replaced_while_the_other_answers(tmp_path):
    server = Pair(tmp_path)
    wait_for(lambda: len(server.workers) == 2)
    wait_for(lambda: server.leader is not None)
    (follower,) = server.workers - {server.leader}
    os.kill(follower, signal.SIGKILL)
    wait_for(lambda: len(server.workers - {follower}) == 2)
    assert sum(still(lambda: server.ask("GET", "/v1/models")) is not None for _ in range(20)) >= 10
    assert server.end() == 0


def test_the_jobs_of_a_killed_process_go_on_in_another(tmp_path, blobs_file):
    server = Pair(tmp_path)
    wait_for(lambda: len(server.workers) == 2 and server.leader is not None)
    job = train(server, upload(server, blobs_file), "taken-over", epochs=60)
    wait_for(lambda: server.ask("GET", f"/v1/jobs/{job}")["status"] == "running", 60)
    first = server.leader
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: server.leader not in {None, first})
    wait_for(lambda: (still(lambda: server.ask("GET", f"/v1/jobs/{job}")) or {}).get("status") == "succeeded", 90)
    assert len(server.ask("GET", "/v1/models?name=taken-over")["data"]) == 1
    assert server.end() == 0


def test_a_signal_stops_all_processes_in_order(tmp_path):
    server = Pair(tmp_path)
    wait_for(lambda: len(server.workers) == 2)
    workers = server.workers
    assert server.end() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_a_second_server_of_several_processes_on_the_same_data_is_refused(pair):
    command = [sys.executable, "-m", "lmaas_server", "--port", "0", "--data-dir", str(pair.directory)]
    for more in ([], ["--workers", "2"]):
        done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode != 0
        assert "is in use by another server" in done.stderr
        assert "Traceback" not in done.stderr
