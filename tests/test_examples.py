"""Every example and the README's story run as they stand, each in an interpreter of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = [path for path in sorted((ROOT / "examples").glob("*.py")) if path.name != "handwriting.py"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path):
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "\x1b" not in done.stdout  # colours are for terminals, and this is a pipe


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_shorter_than_80_lines(path):
    assert len(path.read_text().splitlines()) < 80


def test_the_story_in_the_readme_runs(lmaas_server, monkeypatch):
    monkeypatch.chdir(ROOT / "examples" / "data")
    monkeypatch.setenv("LMAAS_BASE_URL", lmaas_server.url)
    with np.load("digits.npz") as file:
        scope = {"images": file["x"][:300], "truth": file["y"][:300]}
    story = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(story[1], scope)  # noqa: S102 - the README is ours
    assert scope["update"].status == "succeeded"
