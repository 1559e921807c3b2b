"""What people see of a wait: a bar, lines of text, or what their own function makes of it."""

from __future__ import annotations

import io
import sys

import pytest
from sdk_samples import JOB

from lmaas._progress import Lines, describe, display_for, title
from lmaas.types import Job

RUNNING = Job.model_validate(
    JOB | {"progress": {"step": 5, "steps": 10, "epoch": 1, "epochs": 2}, "metrics": {"loss": 0.25, "accuracy": 0.5}}
)
DONE = Job.model_validate(JOB | {"status": "succeeded"})


def test_a_job_is_described_in_a_few_words():
    assert describe(RUNNING) == "running  epoch 1/2  loss 0.25  accuracy 0.5"


@pytest.mark.parametrize(
    ("request_", "shown"),
    [({"name": "digits"}, "training digits"), ({"model": "digits@1"}, "training digits@1"), ({}, "training job-1")],
)
def test_a_job_is_called_by_what_it_is_about(request_, shown):
    assert title(Job.model_validate(JOB | {"request": request_})) == shown


def test_a_line_is_written_only_when_there_is_something_new():
    out = io.StringIO()
    lines = Lines(out)
    for job in (RUNNING, RUNNING, DONE):
        lines.show(job)
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["running", "succeeded"]


def test_the_bar_shows_on_stderr_and_leaves_the_terminal_in_order(capsys):
    display = display_for(True)
    display.show(RUNNING)
    display.show(DONE)
    display.close()
    captured = capsys.readouterr()
    assert "job-1" in captured.err
    assert captured.out == ""


def test_without_rich_there_are_lines(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert isinstance(display_for(True), Lines)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_function_is_called_with_each_job(wanted):
    seen = []
    display = display_for(seen.append if wanted else False)
    display.show(RUNNING)
    display.close()
    assert seen == ([RUNNING] if wanted else [])
