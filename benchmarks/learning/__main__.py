"""Measure the parts named on the command line, or all of them, and print one table."""

from __future__ import annotations

import importlib
import sys
import time

from benchmarks.learning.data import AbsentError
from benchmarks.learning.loop import Line, server, table

PARTS = ("speaker", "rotation", "ratings", "gate", "classes", "preferences", "latency")
ASKED_FOR = ("picture",)
"""What runs only where it is named."""


def main(names: list[str]) -> int:
    """Return 1 if a floor was missed, so that a script can tell."""
    unknown = [name for name in names if name not in PARTS + ASKED_FOR]
    if unknown:
        sys.stderr.write(f"no part {', '.join(unknown)}; there are {', '.join(PARTS + ASKED_FOR)}\n")
        return 2
    lines: list[Line] = []
    for name in names or PARTS:
        module = importlib.import_module(f"benchmarks.learning.{name}")
        start = time.monotonic()
        try:
            with server() as running, running.client() as client:
                lines += module.measure(client)
        except AbsentError as absent:
            lines.append(Line(name, "skipped", str(absent)))
        sys.stderr.write(f"{name}: {time.monotonic() - start:.0f} s\n")
    print(table("Learning from feedback, through the SDK against a live server", lines))
    return int(any(line.met is False for line in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
