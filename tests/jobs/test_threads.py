"""The number of threads follows from the request alone."""

from __future__ import annotations

import pytest

from lmaas.types import CNN, MLP, TrainingRequest
from lmaas_server.jobs.threads import training_threads, update_threads

DIGITS = {"input": {"kind": "image", "shape": [28, 28, 1]}, "target": {"kind": "class", "classes": list(range(10))}}


@pytest.mark.parametrize(
    ("architecture", "batch", "threads"),
    [(MLP(hidden=(64,)), 32, 1), (MLP(hidden=(512, 512)), 128, 2), (MLP(hidden=(512, 512)), 4, 1), (CNN(), 32, 2)],
)
def test_a_step_too_small_to_share_has_one_thread(architecture, batch, threads):
    request = TrainingRequest(dataset="ds-1", name="m", architecture=architecture, batch_size=batch)
    assert training_threads(request, DIGITS, 2) == threads


def test_no_job_has_more_threads_than_the_settings_give():
    request = TrainingRequest(dataset="ds-1", name="m", architecture=MLP(hidden=(512, 512)), batch_size=128)
    assert training_threads(request, DIGITS, 1) == 1


@pytest.mark.parametrize(("parameters", "threads"), [(5_000, 1), (670_000, 2)])
def test_an_update_shares_its_steps_where_the_model_is_large(parameters, threads):
    assert update_threads({"architecture": {"type": "mlp"}, "parameters": parameters}, 2) == threads
