"""Bodies between sockets and the application in the real `lmaas-server`: as they come, and never all in memory."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from lmaas_server.app import create_app, server_of
from lmaas_server.http.bridge import Bridge
from lmaas_server.http.exchange import ClientGoneError
from lmaas_server.http.heads import Address, Head
from lmaas_server.settings import Settings

pytestmark = pytest.mark.xdist_group("bridge")  # one server for all of them

MIB = 2**20
PREDICTIONS = "/v1/deployments/d/predictions"


class Served:
    """A server process with a deployment `d`, asked over sockets of the test's own."""

    def __init__(self, directory: Path) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LMAAS_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lmaas_server", "--port", "0", "--data-dir", str(directory)],
            stdout=subprocess.PIPE,
            text=True,
            env={**kept, "OMP_NUM_THREADS": "1", "LMAAS_SERVER_PREWARM": "false", "LMAAS_SERVER_MAX_BODY_MB": "1"},
        )
        self.port = int(re.search(r"http://[^:]+:(\d+)", self.process.stdout.readline()).group(1))

    @contextmanager
    def connected(self):
        """Open a connection and give it, and a file to read its answers from."""
        address = ("127.0.0.1", self.port)
        with socket.create_connection(address, timeout=30) as connection, connection.makefile("rb") as answers:
            yield connection, answers

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str):
        """Ask over a connection of its own; return status, headers and body."""
        with self.connected() as (connection, answers):
            connection.sendall(head(method, path, len(body), **headers) + body)
            return read(answers, method)

    def megabytes(self, what: str = "VmHWM") -> float:
        """What the process takes of memory, or took at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+)", status).group(1)) / 1024


def head(method: str, path: str, length: int, **headers: str) -> bytes:
    named = {"content_type": "application/json", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{lines}\r\n".encode()


def read(answers, method: str = "GET"):
    """Read one answer whose length is known."""
    status, headers = read_head(answers)
    length = int(headers.get("content-length", 0))
    return status, headers, b"" if method == "HEAD" else answers.read(length)


def read_head(answers):
    status = int(answers.readline().split()[1])
    lines = iter(lambda: answers.readline().decode().strip(), "")
    return status, dict(line.lower().split(": ", 1) for line in lines)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, classifier) -> Path:
    """A data directory in which the classifier serves as `d`."""
    directory = tmp_path_factory.mktemp("bridge") / "data"
    app = create_app(Settings(data_dir=directory, prewarm=False))
    classifier.register(server_of(app))
    app.test_client().post("/v1/deployments", json={"name": "d", "model": "blobs"})
    server_of(app).storage.deployment_events.add("d", "drift", "Something happened.", {}, 1.0)
    server_of(app).close()
    shutil.copytree(directory, directory.with_name("the same"))
    return directory


@pytest.fixture(scope="module")
def served(prepared):
    running = Served(prepared)
    yield running
    running.process.terminate()
    assert running.process.wait(30) == 0
    running.process.stdout.close()


@pytest.fixture
def rows(ask) -> bytes:
    return json.dumps({"inputs": ask.rows(2)}).encode()


@pytest.fixture
def ready(served, ask, rows):
    """The deployment answers."""
    ask.wait_for(lambda: served.ask("POST", PREDICTIONS, rows)[0] == 200)
    return served


def test_a_prediction_is_answered_and_found_in_the_log(ready, rows):
    status, headers, body = ready.ask("POST", PREDICTIONS, rows, x_request_id="mine")
    assert (status, headers["x-request-id"]) == (200, "mine")
    found = ready.ask("GET", f"/v1/predictions/{json.loads(body)['id']}")
    assert found[2] == body


def test_a_connection_goes_on_after_errors(ready, rows):
    with ready.connected() as (connection, answers):
        for path, sent, wanted in ((PREDICTIONS, b"{", 400), ("/v1/nothing", b"x", 404), (PREDICTIONS, rows, 200)):
            connection.sendall(head("POST", path, len(sent)) + sent)
            assert read(answers)[0] == wanted


def test_requests_sent_one_behind_the_other_are_answered_in_order(ready, rows):
    with ready.connected() as (connection, answers):
        one = head("POST", PREDICTIONS, len(rows)) + rows
        connection.sendall(one + head("GET", "/healthz", 0) + one)
        found = [json.loads(read(answers)[2]) for _ in range(3)]
    assert [answer.get("object", answer.get("status")) for answer in found] == ["prediction", "ok", "prediction"]


@pytest.mark.parametrize("path", [PREDICTIONS, "/v1/deployments"])
def test_a_body_over_the_limit_is_refused_before_it_is_sent(ready, path):
    with ready.connected() as (connection, answers):
        connection.sendall(head("POST", path, 2 * MIB, expect="100-continue"))
        status, _, body = read(answers)
    assert (status, json.loads(body)["error"]["code"]) == (413, "body_too_large")


def test_a_body_that_announces_no_length_is_read_to_its_end(ready, rows):
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(rows), rows)
    raw = head("POST", PREDICTIONS, 0, transfer_encoding="chunked").replace(b"Content-Length: 0\r\n", b"")
    with ready.connected() as (connection, answers):
        connection.sendall(raw + chunked)
        assert read(answers)[0] == 200


@pytest.mark.parametrize("rest", [b"", b"no chunk\r\n"])
def test_a_body_in_chunks_that_breaks_off_is_told_so(ready, rest):
    rows = json.dumps({"inputs": [[0.0, 0.0]]}).encode()
    raw = head("POST", PREDICTIONS, 0, transfer_encoding="chunked").replace(b"Content-Length: 0\r\n", b"")
    with ready.connected() as (connection, answers):
        connection.sendall(raw + b"%x\r\n%b\r\n" % (len(rows), rows) + rest)
        connection.shutdown(socket.SHUT_WR)
        status, _, body = read(answers)
    assert (status, json.loads(body)["error"]["code"]) == (400, "body_truncated")


@pytest.mark.parametrize("path", [PREDICTIONS, "/v1/feedback"])
def test_a_body_that_breaks_off_is_told_so(ready, path):
    with ready.connected() as (connection, answers):
        connection.sendall(head("POST", path, 50) + b"{")
        connection.shutdown(socket.SHUT_WR)
        status, _, body = read(answers)
    assert (status, json.loads(body)["error"]["code"]) == (400, "body_truncated")


def test_head_has_the_headers_of_get_and_no_body(ready):
    with ready.connected() as (connection, answers):
        connection.sendall(head("HEAD", "/v1/models", 0) + head("GET", "/v1/models", 0))
        asked, got = read(answers, "HEAD"), read(answers)
    assert asked[0] == got[0] == 200
    assert asked[1]["content-length"] == got[1]["content-length"] == str(len(got[2]))


@contextmanager
def following(served):
    """Follow the events of the deployment; entered when the head of the answer is there."""
    with served.connected() as (connection, answers):
        connection.sendall(head("GET", "/v1/deployments/d/events", 0, accept="text/event-stream"))
        assert read_head(answers)[0] == 200
        yield answers


def streams(served) -> float:
    text = served.ask("GET", "/metrics")[2].decode()
    return float(re.search(r'lmaas_streams\{of="open"\} (\S+)', text).group(1))


def test_an_event_arrives_while_its_stream_goes_on(ready):
    with following(ready) as answers:
        while b"event: " not in (line := answers.readline()):
            assert line
        assert streams(ready) == 1


def test_a_stream_that_nobody_reads_holds_up_no_prediction(ready, rows):
    with following(ready), following(ready):
        assert [ready.ask("POST", PREDICTIONS, rows)[0] for _ in range(20)] == [200] * 20


class Gone:
    """A request whose client goes after the first piece of the answer."""

    head = Head("GET", "/", "", "1.1", {})
    address = Address("127.0.0.1", "8000", "127.0.0.1")

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def begin(self, status, headers):
        pass

    def send(self, data):
        if self.sent:
            raise ClientGoneError
        self.sent.append(data)


def test_a_stream_whose_client_has_gone_is_closed_and_asked_for_no_more():
    told, gone = [], Gone()

    def pieces():
        try:
            yield from (b"one", b"two", b"three")
        finally:
            told.append("closed")

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return pieces()

    with closing(asyncio.new_event_loop()) as loop:
        Bridge(gone, loop).run(application)
    assert (gone.sent, told) == ([b"one"], ["closed"])


@pytest.fixture
def dataset(ready, ask):
    """Upload so many MiB of rows and return the dataset and what was sent."""

    def upload(mebibytes: int) -> tuple[dict, bytes]:
        content = b"a,label\n" + b"1.5,x\n2.5,y\n" * (mebibytes * MIB // 12)
        body = ask.multipart(content, filename="rows.csv")
        status, _, answer = ready.ask("POST", "/v1/datasets", body, content_type="multipart/form-data; boundary=cut")
        assert status == 200, answer
        return json.loads(answer), content

    return upload


def test_an_upload_is_never_whole_in_memory(ready, ask):
    """The rest of it is not sent before the server has taken most of what came."""
    before = ready.megabytes()
    body = ask.multipart(b"\0" * 160 * MIB, filename="rows.npz")
    status, _, answer = ready.ask("POST", "/v1/datasets", body, content_type="multipart/form-data; boundary=cut")
    assert (status, json.loads(answer)["error"]["type"]) == (422, "invalid_request_error")
    assert ready.megabytes() - before < 48


def test_a_file_that_a_client_is_slow_to_read_is_not_held_in_memory(ready, dataset):
    made, content = dataset(24)
    before = ready.megabytes("VmRSS")
    with ready.connected() as (connection, answers):
        connection.sendall(head("GET", f"/v1/datasets/{made['id']}/content", 0))
        status, headers = read_head(answers)
        assert (status, int(headers["content-length"])) == (200, len(content))
        assert ready.ask("GET", "/healthz")[0] == 200
        assert ready.megabytes("VmRSS") - before < 12
        assert answers.read(len(content)) == content


def test_a_part_of_a_file_is_sent_from_its_first_byte_to_its_last(ready, dataset):
    made, content = dataset(1)
    path = f"/v1/datasets/{made['id']}/content"
    status, headers, body = ready.ask("GET", path, range="bytes=100-2099")
    assert (status, body) == (206, content[100:2100])
    assert headers["content-range"] == f"bytes 100-2099/{len(content)}"
    assert ready.ask("GET", path, range="bytes=-5")[2] == content[-5:]
    assert ready.ask("GET", path, if_none_match=headers["etag"])[0] == 304


def test_a_signal_ends_streams_that_would_go_on(prepared):
    server = Served(prepared.with_name("the same"))
    with following(server) as answers:
        while b"event: drift" not in (line := answers.readline()):  # a signal before it would be in time for nothing
            assert line
        server.process.send_signal(signal.SIGTERM)
        assert answers.read().endswith(b"0\r\n\r\n")  # the server has closed the stream
    assert server.process.wait(5) == 0
    server.process.stdout.close()


def test_a_prediction_under_way_is_answered_though_a_signal_came(prepared, ask, rows):
    server = Served(prepared.with_name("the same"))
    ask.wait_for(lambda: server.ask("POST", PREDICTIONS, rows)[0] == 200)
    with server.connected() as (connection, answers):
        connection.sendall(head("POST", PREDICTIONS, len(rows)) + rows[:9])
        server.ask("GET", "/healthz")  # the head has been read by now
        server.process.send_signal(signal.SIGTERM)
        connection.sendall(rows[9:])
        assert read(answers)[0] in {200, 503}
    assert server.process.wait(30) == 0
    server.process.stdout.close()
