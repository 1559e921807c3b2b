"""Measure the parts named on the command line (`rows curves file`), or all of them, and draw `docs/growth.png` anew.

`LMAAS_GROWTH` (1.0) scales what the database is filled with, `LMAAS_GROWTH_GB` (5) is the size of the file. All of it
takes a quarter of an hour and 8 GB of disk.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.growth.curves import Curve, curves
from benchmarks.growth.large import large_file
from benchmarks.growth.plot import draw
from benchmarks.growth.rows import growth_of_rows
from benchmarks.timing import Row, table

PICTURE = Path(__file__).parents[2] / "docs" / "growth.png"
Part = Callable[[Path], tuple[list[Row], list[Curve]]]
PARTS: dict[str, Part] = {
    "rows": partial(growth_of_rows, scale=float(os.environ.get("LMAAS_GROWTH", "1"))),
    "curves": curves,
    "file": partial(large_file, gigabytes=float(os.environ.get("LMAAS_GROWTH_GB", "5"))),
}


def main(names: list[str]) -> int:
    """Return 1 if a target was missed; the picture is drawn where all its curves were measured."""
    if unknown := [name for name in names if name not in PARTS]:
        sys.stderr.write(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}\n")
        return 2
    missed, drawn = False, []
    for name in names or PARTS:
        with tempfile.TemporaryDirectory(prefix="lmaas-growth-") as folder:
            rows, found = PARTS[name](Path(folder))
        print(table(f"Growth: {name}", rows), flush=True)
        missed = missed or any(row.met is False for row in rows)
        drawn += found
    if {curve.plot for curve in drawn} >= {"rows", "batch"}:
        draw(drawn, PICTURE)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
