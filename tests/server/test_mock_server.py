"""The server beside a test."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from lmaas.testing import MockServer


def get(url: str) -> int:
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
        return answer.status


def test_it_answers_inside_its_block_and_is_gone_after_it():
    with MockServer() as server:
        url = server.url
        assert get(f"{url}/healthz") == 200
    with pytest.raises(OSError, match="refused"):
        get(f"{url}/healthz")
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url


def test_its_data_goes_with_it():
    with MockServer() as server:
        directory = Path(server._temporary)
        assert (directory / "lmaas.db").exists()
    assert not directory.exists()


def test_a_directory_it_was_given_stays(tmp_path):
    with MockServer(data_dir=tmp_path / "kept"):
        pass
    assert (tmp_path / "kept" / "lmaas.db").exists()


def test_several_do_not_meet():
    with MockServer() as first, MockServer() as second:
        assert first.url != second.url
        assert first._temporary != second._temporary


def test_it_leaves_no_thread_behind():
    before = set(threading.enumerate())
    with MockServer() as server:
        get(f"{server.url}/v1/jobs")
    left = set(threading.enumerate()) - before
    assert not [thread.name for thread in left if not thread.daemon]


def test_the_jobs_of_one_after_the_other_are_forked_from_one_process():
    forked_from = []
    for _ in range(2):
        with MockServer() as server:
            runner = server._server.runner
            runner.prewarm()
            forked_from.append(runner._forks.pid)
    assert forked_from[0] is not None
    assert forked_from[0] == forked_from[1]


def test_it_can_ask_for_a_key():
    with MockServer(api_keys=("secret",)) as server, pytest.raises(urllib.error.HTTPError, match="401"):
        get(f"{server.url}/v1/jobs")


def test_the_environment_of_lmaas_server_is_not_for_it(monkeypatch):
    monkeypatch.setenv("LMAAS_SERVER_API_KEYS", "from-the-environment")
    with MockServer() as server:
        assert get(f"{server.url}/v1/jobs") == 200


def test_a_setting_can_be_given():
    with MockServer(rate_limit_per_minute=1) as server:
        get(f"{server.url}/v1/jobs")
        with pytest.raises(urllib.error.HTTPError, match="429"):
            get(f"{server.url}/v1/jobs")


def test_the_fixtures_come_with_the_package(pytester_script):
    assert pytester_script("def test(lmaas_server): assert lmaas_server.url.startswith('http://127.0.0.1:')") == 0


@pytest.fixture
def pytester_script(tmp_path):
    """Run a test file with a pytest of its own, as an application would."""

    def run(source: str) -> int:
        (tmp_path / "test_application.py").write_text(source)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
        return subprocess.run(command, capture_output=True, cwd=tmp_path, check=False).returncode

    return run


def test_the_plugin_imports_nothing_heavy():
    code = "import sys, lmaas.testing.plugin; assert not {'torch', 'flask', 'numpy', 'httpx'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
