"""Run the benchmarks named on the command line, or all of them, and print a table of each."""

from __future__ import annotations

import importlib
import sys

ALL = (
    "client",
    "uploads",
    "serving",
    "startup",
    "rollback",
    "training",
    "tasks",
    "language",
    "preferences",
    "drift",
    "gpu",
)


def main(names: list[str]) -> int:
    """Return 1 if a target was missed, so that a script can tell."""
    unknown = [name for name in names if name not in ALL]
    if unknown:
        sys.stderr.write(f"no benchmark {', '.join(unknown)}; there are {', '.join(ALL)}\n")
        return 2
    missed = False
    for name in names or ALL:
        module = importlib.import_module(f"benchmarks.{name}")
        title, rows = module.measure()
        print(module.table(title, rows), flush=True)
        missed = missed or any(row.met is False for row in rows)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
