"""Settings come from the environment, and what the caller names goes before it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lmaas_server.settings import Settings


@pytest.mark.parametrize("name", ["LMAAS_SERVER_MAX_JOBS", "lmaas_server_max_jobs"])
def test_the_environment_sets_in_either_case(monkeypatch, name):
    monkeypatch.setenv(name, "3")
    assert Settings().max_jobs == 3


def test_what_is_given_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv("LMAAS_SERVER_MAX_JOBS", "none")
    assert Settings(max_jobs=2).max_jobs == 2


def test_words_of_the_environment_become_what_they_mean(monkeypatch, tmp_path):
    words = {"prewarm": "false", "rate_limit_per_minute": "60", "data_dir": str(tmp_path), "upload_hours": "1.5"}
    for name, word in words.items():
        monkeypatch.setenv(f"LMAAS_SERVER_{name.upper()}", word)
    found = Settings()
    assert (found.prewarm, found.rate_limit_per_minute, found.data_dir) == (False, 60, tmp_path)
    assert found.upload_hours == 1.5


def test_keys_are_parted_at_commas_and_not_shown(monkeypatch):
    monkeypatch.setenv("LMAAS_SERVER_API_KEYS", "first-key, second-key,")
    found = Settings()
    assert [key.get_secret_value() for key in found.api_keys] == ["first-key", "second-key"]
    assert "first-key" not in repr(found)


def test_a_name_that_is_no_setting_is_left_alone(monkeypatch):
    monkeypatch.setenv("LMAAS_SERVER_IMAGE", "somebody's own")
    assert "image" not in Settings().model_dump()


def test_a_setting_that_cannot_be_is_named(monkeypatch):
    monkeypatch.setenv("LMAAS_SERVER_WORKERS", "0")
    with pytest.raises(ValidationError, match="workers"):
        Settings()
