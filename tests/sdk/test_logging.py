"""LMAAS_LOG: where the log goes, in a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import httpx, lmaas
transport = httpx.MockTransport(lambda r: httpx.Response(200, json={"id": "x", "object": "x", "deleted": True}))
with httpx.Client(transport=transport) as http:
    for _ in range(2):
        client = lmaas.LMaaS(base_url="http://u:sk-secret@test", api_key="sk-secret", http_client=http)
    client.jobs.with_raw_response.cancel("job-1", extra_headers={"X-Api-Key": "sk-secret"})
"""


def logged(level: str) -> str:
    env = os.environ | {"LMAAS_LOG": level}
    return subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True, env=env).stderr


@pytest.mark.parametrize(("level", "lines"), [("debug", 2), ("info", 1), ("", 0), ("nonsense", 0)])
def test_the_level_decides_what_is_written_and_no_secret_ever_is(level, lines):
    text = logged(level)
    assert len(text.splitlines()) == lines
    assert "sk-secret" not in text
    assert ("POST http://test/v1/jobs/job-1/cancel 200" in text) is (lines > 0)
