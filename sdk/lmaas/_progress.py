"""Shows people how far jobs have come: a bar by rich where it is installed, else lines of text. Knows no flow."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol, TextIO, TypeAlias

from lmaas import types

ProgressOption: TypeAlias = "bool | Callable[[types.Job], None]"
"""True for a bar or lines on stderr; or a function that is called with the job each time it was looked at."""


class Display(Protocol):
    """Something that shows jobs."""

    def show(self, job: types.Job) -> None:
        """Show the job as it is now."""
        ...

    def close(self) -> None:
        """Leave the terminal in order."""
        ...


def display_for(progress: ProgressOption) -> Display:
    """Return the display that was asked for."""
    if progress is False:
        return _Calling(lambda _job: None)
    if callable(progress):
        return _Calling(progress)
    try:
        return _Bars()
    except ImportError:
        return Lines(sys.stderr)


class _Calling:
    def __init__(self, function: Callable[[types.Job], None]) -> None:
        self._function = function

    def show(self, job: types.Job) -> None:
        self._function(job)

    def close(self) -> None:
        """There is nothing to put in order."""


class Lines:
    """A line of text whenever there is something new."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last: dict[str, str] = {}

    def show(self, job: types.Job) -> None:
        """Write a line if the status or the epoch has changed."""
        line = f"{job.id} {describe(job)}"
        if self._last.get(job.id) != line:
            self._last[job.id] = line
            self._out.write(f"{line}\n")
            self._out.flush()

    def close(self) -> None:
        """There is nothing to put in order."""


def describe(job: types.Job) -> str:
    """Return the job's state in a few words."""
    words = [str(job.status)]
    if job.progress.epochs:
        words.append(f"epoch {job.progress.epoch}/{job.progress.epochs}")
    words += [f"{name} {job.metrics[name]:.4g}" for name in ("loss", "accuracy") if _is_number(job.metrics.get(name))]
    return "  ".join(words)


def title(job: types.Job) -> str:
    """Return what the job is about, which people know better than its id."""
    about = next((job.request[name] for name in ("name", "deployment", "model") if job.request.get(name)), job.id)
    return f"{job.type} {about}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Bars:
    """A bar for each job, in terminals and notebooks."""

    def __init__(self) -> None:
        # Optional (`lmaas[progress]`), and 30 ms that only those pay who look.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.fields[job]}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
        )
        self._bars = Progress(*columns, console=Console(stderr=True))
        self._tasks: dict[str, Any] = {}
        self._bars.start()

    def show(self, job: types.Job) -> None:
        progress = job.progress
        if job.id not in self._tasks:
            self._tasks[job.id] = self._bars.add_task("", total=None, job=title(job))
        done = progress.steps if job.status == "succeeded" else progress.step
        self._bars.update(self._tasks[job.id], total=progress.steps or None, completed=done, description=describe(job))

    def close(self) -> None:
        self._bars.stop()
