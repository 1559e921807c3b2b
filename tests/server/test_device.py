"""The device of a server: one that is not there is refused by its name, at the start and by whatever would compute."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from click.testing import CliRunner

from lmaas import LMaaS
from lmaas.errors import DeploymentFailedError, JobFailedError
from lmaas.testing import MockServer
from lmaas_server.__main__ import main

FAR = "cuda:99"
ROWS = (np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32), ["a", "b"] * 20)


@dataclass(frozen=True)
class Missing:
    """A server whose GPU is gone, with a model that was trained before, and what its training said of the device."""

    client: LMaaS
    model: str
    said: list[str]


@pytest.fixture(scope="module")
def missing(tmp_path_factory) -> Iterator[Missing]:
    kept = tmp_path_factory.mktemp("kept")
    with MockServer(data_dir=kept, device="auto") as server, server.client() as client:
        job = client.jobs.wait(client.train(ROWS, name="m"))
        said = [event.data["device"] for event in client.jobs.events(job) if "device" in event.data]
    with MockServer(data_dir=kept, device=FAR) as server, server.client() as client:
        yield Missing(client, job.model, said)


def test_a_gpu_that_is_not_there_is_refused_before_the_server_starts(tmp_path):
    found = CliRunner().invoke(main, ["--device", FAR, "--data-dir", str(tmp_path / "data")])
    assert found.exit_code == 1
    assert f"There is no device {FAR}" in found.output
    assert not (tmp_path / "data").exists()


def test_a_word_that_names_no_device_is_refused(tmp_path):
    found = CliRunner().invoke(main, ["--device", "gpu", "--data-dir", str(tmp_path / "data")])
    assert found.exit_code == 2
    assert "device" in found.output


def test_a_server_left_to_choose_says_where_it_computes(missing):
    assert missing.said in (["cpu"], ["cuda:0"])


def test_a_job_fails_by_a_stable_code_where_its_gpu_is_missing(missing):
    with pytest.raises(JobFailedError, match=FAR) as caught:
        missing.client.jobs.wait(missing.client.train(ROWS, name="n"))
    assert caught.value.code == "device_missing"


def test_a_model_is_not_deployed_where_its_gpu_is_missing(missing):
    with pytest.raises(DeploymentFailedError, match=f"There is no device {FAR}") as caught:
        missing.client.deploy(missing.model, name="d")
    assert caught.value.deployment.error["code"] == "device_missing"
