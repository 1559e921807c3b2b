"""Every example and the README's story run as they stand, on the data that ships with them.

The first a newcomer runs has an interpreter of its own; one that starts, with torch in it and in its jobs, costs more
than what most examples do, so that the others share this one.
"""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = [path for path in sorted((ROOT / "examples").glob("*.py")) if path.name != "handwriting.py"]


QUICKSTART = ROOT / "examples" / "quickstart.py"


def test_the_quickstart_runs_in_an_interpreter_of_its_own():
    env = {name: value for name, value in os.environ.items() if name != "LMAAS_DATA_DIR"}
    program = [sys.executable, str(QUICKSTART)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=300, check=False, env=env)
    assert done.returncode == 0, done.stderr
    assert "promoted: True" in done.stdout
    assert "\x1b" not in done.stdout  # colours are for terminals, and this is a pipe


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path != QUICKSTART], ids=lambda path: path.stem)
def test_an_example_runs(path, monkeypatch, capsys):
    monkeypatch.delenv("LMAAS_DATA_DIR", raising=False)
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    said = capsys.readouterr().out
    assert said
    assert "\x1b" not in said


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
