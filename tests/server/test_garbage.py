"""Looking for garbage: what came with the first model is left out for good."""

from __future__ import annotations

import gc

import pytest

from lmaas_server.serving import _kept_once


@pytest.fixture
def frozen(monkeypatch):
    """Count how often what is there was declared to stay; nothing is frozen in the tests' own process."""
    times: list[int] = []
    monkeypatch.setattr(gc, "freeze", lambda: times.append(1))
    return times


def test_what_is_there_with_the_first_model_stays_for_good(frozen):
    tell = _kept_once()
    tell("m@1")
    assert len(frozen) == 1


def test_later_models_may_go_again(frozen):
    tell = _kept_once()
    for version in range(1, 4):
        tell(f"m@{version}")
    assert len(frozen) == 1
