"""`lmaas-server` as a process: started, stopped, killed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from lmaas_server.app import create_app, server_of
from lmaas_server.settings import Settings


@dataclass
class Running:
    """A server process and where it listens."""

    process: subprocess.Popen[str]
    url: str
    said: str

    def ask(self, method: str, path: str, body=None, **headers: str):
        """One request; the answer's JSON."""
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(  # noqa: S310
            self.url + path, data=data, method=method, headers={"Content-Type": "application/json", **headers}
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
            return json.load(answer)

    def end(self, by: signal.Signals) -> int:
        """End it and return its exit status."""
        self.process.send_signal(by)
        return self.process.wait(30)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "lmaas_server", *arguments]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LMAAS_")}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


@pytest.fixture
def start(tmp_path):
    """Start a server on a free port; it is killed at the end."""
    running: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **more: str) -> Running:
        process = subprocess.Popen(
            command("--port", "0", "--data-dir", str(tmp_path / "served"), *arguments),
            stdout=subprocess.PIPE,
            text=True,
            env=environment(**more),
        )
        running.append(process)
        said = process.stdout.readline()
        return Running(process, re.search(r"http://[^,]+", said).group(), said)

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def refusal(*arguments: str, **more: str) -> str:
    """What a server says that refuses to start."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=30, env=environment(**more), check=False
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


def test_it_says_where_it_listens_and_where_the_data_is(start, tmp_path):
    server = start()
    assert str(tmp_path / "served") in server.said
    assert server.ask("GET", "/healthz") == {"status": "ok"}


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order(start, by):
    assert start().end(by) == 0


def test_a_signal_before_it_is_loaded_stops_it_in_order(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = command("--port", str(port), "--data-dir", str(tmp_path / "served"))
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, env=environment()) as process:
        server = Running(process, f"http://127.0.0.1:{port}", "")
        while True:
            try:
                server.ask("GET", "/healthz")
            except OSError:
                assert process.poll() is None
                time.sleep(0.005)
            else:
                break
        assert server.end(signal.SIGTERM) == 0


def test_a_second_server_on_the_same_data_is_refused(start, tmp_path):
    start()
    assert "is in use by another server" in refusal("--port", "0", "--data-dir", str(tmp_path / "served"))


def test_a_port_that_is_taken_is_refused(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert port in refusal("--port", port, "--data-dir", str(tmp_path))


def test_without_keys_it_does_not_listen_where_others_can_reach(tmp_path):
    assert "LMAAS_SERVER_API_KEYS" in refusal("--host", "0.0.0.0", "--port", "0", "--data-dir", str(tmp_path))  # noqa: S104


def test_a_setting_that_is_wrong_is_named(tmp_path):
    assert "max_jobs" in refusal("--data-dir", str(tmp_path), LMAAS_SERVER_MAX_JOBS="none")


def test_keys_come_from_the_environment(start):
    server = start(LMAAS_SERVER_API_KEYS="one,two")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        server.ask("GET", "/v1/jobs")
    assert server.ask("GET", "/v1/jobs", Authorization="Bearer two")["data"] == []


def test_paths_arrive_decoded(start):
    server = start()
    with pytest.raises(urllib.error.HTTPError) as caught:
        server.ask("GET", "/v1/models/blobs%401")
    assert "'blobs@1'" in json.load(caught.value)["error"]["message"]


@pytest.fixture
def prepared(tmp_path, classifier) -> Path:
    """A data directory with a model and a deployment that was about to start."""
    app = create_app(Settings(data_dir=tmp_path / "served", prewarm=False))
    server = server_of(app)
    classifier.register(server)
    app.test_client().post("/v1/deployments", json={"name": "d", "model": "blobs"})
    server.close()
    return tmp_path / "served"


def test_acknowledged_feedback_survives_kill_9(start, prepared, ask):
    server = start()
    ask.wait_for(lambda: server.ask("GET", "/v1/deployments/d")["status"] == "ready")
    prediction = server.ask("POST", "/v1/deployments/d/predictions", {"inputs": ask.rows(1)})
    said = {"prediction_id": prediction["id"], "kind": "label", "value": 2}
    kept = server.ask("POST", "/v1/feedback", said)
    assert server.end(signal.SIGKILL) == -signal.SIGKILL
    ask.wait_for(lambda: not _locked(prepared))
    again = start()
    assert again.ask("GET", f"/v1/feedback/{kept['id']}") == kept
    assert again.ask("GET", f"/v1/predictions/{prediction['id']}") == prediction


def _locked(directory: Path) -> bool:
    from lmaas_server.lock import DataDirectoryInUseError, DirectoryLock

    try:
        DirectoryLock(directory).release()
    except DataDirectoryInUseError:
        return True
    return False


def test_a_request_under_way_is_answered_though_a_signal_came(start, tmp_path):
    """The body comes after the signal: the server waits for it, answers, and stops."""
    server = start()
    body = b'{"name": "d", "model": "none"}'
    host, port = re.search(r"http://(.+):(\d+)", server.url).groups()
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = f"POST /v1/deployments HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body[:5])
        server.ask("GET", "/healthz")  # the head has been read by now
        server.process.send_signal(signal.SIGTERM)
        connection.sendall(body[5:])
        answer = connection.recv(65536)
    assert server.process.wait(30) == 0
    assert answer.split(b" ")[1] in {b"404", b"503"}


def test_an_upload_whose_connection_is_cut_leaves_nothing(start, tmp_path, ask):
    server = start()
    host, port = re.search(r"http://(.+):(\d+)", server.url).groups()
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = "POST /v1/datasets HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n"
        connection.sendall(f"{head}Content-Type: multipart/form-data; boundary=cut\r\n\r\n".encode())
        connection.sendall(ask.multipart(b"x" * 100_000)[:-10])
        temporary = tmp_path / "served" / "artifacts" / ".tmp"
        ask.wait_for(lambda: any(temporary.iterdir()))
    ask.wait_for(lambda: not any(temporary.iterdir()))
    assert server.ask("GET", "/v1/datasets")["data"] == []


def test_torch_is_not_imported_by_a_server_that_needs_none(start):
    server = start()
    server.ask("GET", "/v1/models")
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    for pid in (server.process.pid, *children):
        assert "libtorch" not in Path(f"/proc/{pid}/maps").read_text()


def test_an_upload_killed_in_mid_part_goes_on_with_the_parts_that_were_whole(start):
    data = b"a,label\n" + b"1,x\n2,y\n" * 400
    pieces = [data[at : at + 1024] for at in range(0, len(data), 1024)]

    def put(number: int) -> str:
        piece = pieces[number - 1]
        path = f"/v1/uploads/{upload['id']}/parts/{number}?sha256={hashlib.sha256(piece).hexdigest()}"
        head = (
            f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: {len(piece)}"
        )
        return f"{head}\r\nConnection: close\r\n\r\n"

    first = start(LMAAS_SERVER_UPLOAD_PART_KB="1")
    upload = first.ask("POST", "/v1/uploads", {"filename": "rows.csv", "bytes": len(data)})
    with socket.create_connection(("127.0.0.1", int(first.url.rsplit(":", 1)[1]))) as half:
        with socket.create_connection(half.getpeername()) as whole:
            whole.sendall(put(2).encode() + pieces[1])
            assert b"200 OK" in whole.recv(4096)
        half.sendall(put(1).encode() + pieces[0][:500])
        first.end(signal.SIGKILL)
    second = start(LMAAS_SERVER_UPLOAD_PART_KB="1")
    assert [part["number"] for part in second.ask("GET", f"/v1/uploads/{upload['id']}")["parts"]] == [2]
    for number in {*range(1, len(pieces) + 1)} - {2}:
        with socket.create_connection(("127.0.0.1", int(second.url.rsplit(":", 1)[1]))) as whole:
            whole.sendall(put(number).encode() + pieces[number - 1])
            assert b"200 OK" in whole.recv(4096)
    made = second.ask("POST", f"/v1/uploads/{upload['id']}/complete", {})
    assert made["sha256"] == hashlib.sha256(data).hexdigest()
