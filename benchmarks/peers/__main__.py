"""Measure this service beside its peers: those named, or all. `--rounds 5` is how often each is measured in turn."""

from __future__ import annotations

import argparse
import importlib
import sys

from benchmarks.timing import table

ALL = ("serving", "training", "updates", "client")


def main() -> int:
    """Print a table of each; return 1 if a target was missed, so that a script can tell."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="|".join(ALL))
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in ALL]:
        parser.error(f"no peers for {', '.join(unknown)}; there are {', '.join(ALL)}")
    missed = False
    for name in given.names or ALL:
        title, rows = importlib.import_module(f"benchmarks.peers.{name}").measure(given.rounds)
        print(table(title, rows), flush=True)
        missed = missed or any(row.met is False for row in rows)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
