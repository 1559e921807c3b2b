"""The fork server: quick, alone in its thread, and outlived by nobody."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from job_world import PARTS

from lmaas_server.jobs.processes import SPINS, ForkServer
from lmaas_server.jobs.protocol import Exited, Failed, Message


@contextmanager
def watched(pid):
    """Lend a wait for the end of a process: 'gone within seconds?'"""
    descriptor = os.pidfd_open(pid)
    try:
        yield lambda seconds=20.0: bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def running(forks, tmp_path, *lines):
    process = forks.fork()
    script = [line if isinstance(line, list) else [line] for line in lines]
    process.send({"entry": "scripted_work:run", "directory": str(tmp_path / "w"), "resume": None, "script": script})
    return process, process.messages()


def test_a_process_says_its_messages_and_then_that_it_is_gone(bare_forks, tmp_path):
    process, messages = running(bare_forks, tmp_path, ["say", "hello"], ["fail", "wrong", "so it is"])
    assert list(messages) == [Message("info", "hello"), Failed("wrong", "so it is"), Exited(status=0)]
    process.close()


def test_a_killed_process_is_told_by_its_signal(bare_forks, tmp_path):
    process, messages = running(bare_forks, tmp_path, "ignore")
    next(messages)
    process.kill()
    assert list(messages) == [Exited(signal=9)]
    process.kill()
    process.close()


def test_processes_are_of_a_group_that_the_terminal_does_not_interrupt(bare_forks, tmp_path):
    process, messages = running(bare_forks, tmp_path, "pid")
    said = next(messages).data
    assert said["group"] != os.getpgid(0)
    assert said["main"].endswith("forkserver.py")
    process.close()


@pytest.mark.parametrize(("given", "spins"), [("", SPINS), ("GOMP_SPINCOUNT", "7"), ("OMP_WAIT_POLICY", None)])
def test_threads_of_a_job_spin_briefly_unless_the_environment_says_otherwise(given, spins, tmp_path, monkeypatch):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv(given, "7")
    forks = ForkServer(preload=["scripted_work"])
    process, messages = running(forks, tmp_path, "pid")
    assert next(messages).data["spins"] == spins
    process.close()
    forks.close()


def test_several_processes_run_at_once_and_none_holds_anothers_channel(bare_forks, tmp_path):
    first, first_messages = running(bare_forks, tmp_path, "ignore")
    second, second_messages = running(bare_forks, tmp_path, "ignore")
    next(first_messages)
    next(second_messages)
    first.kill()
    assert list(first_messages) == [Exited(signal=9)]
    second.kill()
    assert list(second_messages) == [Exited(signal=9)]
    first.close()
    second.close()


def test_a_process_whose_server_closes_the_channel_ends(bare_forks, tmp_path):
    process, messages = running(bare_forks, tmp_path, ["say", "hello"], "obey")
    next(messages)
    with watched(process.pid) as gone:
        process.close()
        assert gone()


def test_a_fork_server_that_was_killed_takes_its_processes_along_and_is_started_anew(tmp_path):
    forks = ForkServer(preload=["scripted_work"])
    process, messages = running(forks, tmp_path, "ignore")
    next(messages)
    with watched(process.pid) as gone:
        os.kill(forks.pid, signal.SIGKILL)
        assert gone()
    assert list(messages) == [Exited()]
    again, messages = running(forks, tmp_path, ["say", "hello"])
    assert next(messages) == Message("info", "hello")
    for one in (process, again):
        one.close()
    forks.close()


def test_closing_ends_the_fork_server_and_all_it_forked(tmp_path):
    forks = ForkServer(preload=["scripted_work"])
    process, messages = running(forks, tmp_path, "ignore")
    next(messages)
    with watched(process.pid) as gone:
        forks.close()
        assert gone()
    assert forks.pid is None
    process.close()


def test_a_fork_server_that_cannot_start_says_how_to_find_out_why(capfd):
    forks = ForkServer(preload=["no_such_module"])
    with pytest.raises(RuntimeError, match="import no_such_module"):
        forks.fork()
    forks.close()
    assert "No module named 'no_such_module'" in capfd.readouterr().err


def test_no_process_survives_a_server_that_was_killed(prepared, tmp_path):
    prepared.script("pid", "ignore")
    program = [sys.executable, str(PARTS / "server_of_jobs.py"), str(tmp_path), "nowhere", "scripted_work"]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as server:
        server.stdout.readline()
        # The job runs in another process, whose writes ring no bell here: ask until it has said its pid.
        said = []
        while not said:
            said = [e.data["pid"] for e in prepared.storage.jobs.events("job-1") if e.message == "pid"]
        parent = int(Path(f"/proc/{said[0]}/stat").read_text().rpartition(")")[2].split()[1])
        with watched(said[0]) as job_gone, watched(parent) as forks_gone:
            server.kill()
            assert job_gone()
            assert forks_gone()


def test_a_file_in_the_working_directory_shadows_no_module(tmp_path, monkeypatch):
    (tmp_path / "socket.py").write_text("raise SystemExit('the wrong socket')")
    monkeypatch.chdir(tmp_path)
    forks = ForkServer(preload=["scripted_work"])
    forks.fork().close()
    forks.close()


def test_the_warm_fork_server_has_one_thread_and_torch_in_it(warm_forks):
    warm_forks.fork().close()
    assert len(list(Path(f"/proc/{warm_forks.pid}/task").iterdir())) == 1
    assert "libtorch" in Path(f"/proc/{warm_forks.pid}/maps").read_text()


def test_a_process_is_forked_though_the_directory_it_was_started_in_is_gone(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    forks = ForkServer(preload=["scripted_work"])
    forks.start()
    monkeypatch.chdir(tmp_path)
    gone.rmdir()
    process, messages = running(forks, tmp_path, "pid")
    assert next(messages).data["directory"] == "/"
    process.close()
    forks.close()
