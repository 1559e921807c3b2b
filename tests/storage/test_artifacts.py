"""Files by key: whole or not at all, and nothing outside the folder."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmaas_server.storage import Artifacts, sweep


def test_a_file_is_at_its_key_once_it_is_adopted(artifacts):
    temp = artifacts.new_temp(".npz")
    temp.write_bytes(b"data")
    assert artifacts.adopt_file(temp, "datasets/ds-1").read_bytes() == b"data"
    assert (temp.exists(), artifacts.exists("datasets/ds-1")) == (False, True)


def test_a_folder_replaces_the_one_that_was_there(artifacts):
    for word in ("old", "new"):
        temp = artifacts.new_temp()
        temp.mkdir()
        (temp / word).write_text(word)
        artifacts.adopt_directory(temp, "models/digits/1")
    assert [path.name for path in artifacts.path("models/digits/1").iterdir()] == ["new"]


def test_a_linked_folder_outlives_its_source(artifacts):
    artifacts.write("jobs/job-1/bundle/weights", b"w")
    artifacts.link_directory(artifacts.path("jobs/job-1/bundle"), "models/digits/1")
    assert artifacts.delete("jobs/job-1")
    assert artifacts.path("models/digits/1/weights").read_bytes() == b"w"


def test_deleting_what_is_not_there_says_so(artifacts):
    assert not artifacts.delete("models/digits/1")


@given(st.lists(st.sampled_from(["..", ".", "", "a", "/", ".tmp", "\0", "a\n"]), min_size=1, max_size=4))
def test_no_key_leads_out_of_the_folder(tmp_path_factory, parts):
    artifacts = Artifacts(tmp_path_factory.getbasetemp() / "store")
    if all(part == "a" for part in parts):
        assert artifacts.path("/".join(parts)).is_relative_to(artifacts.root)
    else:
        with pytest.raises(ValueError, match="is no key"):
            artifacts.path("/".join(parts))


def test_a_writer_killed_before_the_rename_leaves_nothing_after_the_next_sweep(artifacts):
    program = (
        "import os, signal, sys; from lmaas_server.storage.artifacts import Artifacts;"
        "store = Artifacts(sys.argv[1]); temp = store.new_temp(); temp.write_bytes(b'half');"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(artifacts.root)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((artifacts.root / ".tmp").iterdir())) == 1
    assert artifacts.sweep() == 1
    assert not any((artifacts.root / ".tmp").iterdir())


def test_the_sweep_removes_what_no_row_speaks_of_and_nothing_else(storage, artifacts, add_version, a_job):
    for key in (
        "datasets/ds-lost",
        "models/digits/1/w",
        "models/digits/2/w",
        "jobs/job-1/w",
        "jobs/job-2/w",
        "jobs/job-3/w",
    ):
        artifacts.write(key, b"x")
    add_version()
    storage.jobs.add(a_job(1))
    storage.jobs.add(a_job(2, status="failed"))
    assert sweep(storage, artifacts) == ["datasets/ds-lost", "models/digits/2", "jobs/job-2", "jobs/job-3"]
    assert artifacts.exists("models/digits/1/w")
    assert artifacts.exists("jobs/job-1/w")
    assert sweep(storage, artifacts) == []
