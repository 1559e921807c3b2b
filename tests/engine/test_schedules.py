"""Learning rates step by step, held against torch's own schedulers where it has them."""

from __future__ import annotations

import pytest
import torch

from lmaas.types import ConstantSchedule, CosineSchedule, LinearSchedule, OneCycle, StepSchedule
from lmaas_server.engine.learning.schedules import build_schedule

STEPS = 40


def rates(spec, lr=0.1):
    rate = build_schedule(spec, lr=lr, steps=STEPS, steps_per_epoch=10)
    return [rate(step) for step in range(STEPS)]


def torch_rates(make, lr=0.1):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler, found = make(optimizer), []
    for _ in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_constant_stays_after_a_straight_climb():
    found = rates(ConstantSchedule(warmup=0.25))
    assert found[:10] == pytest.approx([0.01 * k for k in range(1, 11)])
    assert set(found[10:]) == {0.1}


def test_cosine_is_torchs():
    expected = torch_rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS, eta_min=0.02))
    assert rates(CosineSchedule(final=0.2)) == pytest.approx(expected)


def test_linear_is_torchs():
    expected = torch_rates(lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.5, STEPS))
    assert rates(LinearSchedule(final=0.5)) == pytest.approx(expected)


def test_step_is_torchs():
    expected = torch_rates(lambda o: torch.optim.lr_scheduler.StepLR(o, 20, 0.3))
    assert rates(StepSchedule(epochs=2, gamma=0.3)) == pytest.approx(expected)


def test_one_cycle_is_torchs():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.3, total_steps=STEPS, cycle_momentum=False)
    expected = []
    for _ in range(STEPS - 1):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates(OneCycle(max_lr=0.3))[:-1] == pytest.approx(expected)
