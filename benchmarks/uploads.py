"""What uploading a file costs over `cp` and a checksum of the same, in one stream and in parts, and in which memory.

The server is a process of its own on this machine. `LMAAS_UPLOAD_MB` (1,000) says how large the file is.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.timing import Row, seconds, table

__all__ = ["measure", "running_server", "table", "uploaded"]

MEGABYTES = int(os.environ.get("LMAAS_UPLOAD_MB", "1000"))
ROUNDS = 5
NEVER = 1 << 62
_UPLOAD = """
import sys, time
from pathlib import Path
import lmaas, lmaas.resources.datasets as datasets
datasets.PARTS_ABOVE = int(sys.argv[3])
with lmaas.LMaaS(base_url=sys.argv[1], timeout=600) as client:
    client.datasets.list(limit=1)  # a first call loads the HTTP library, which the first row of `client` tells
    start = time.perf_counter()
    made = client.datasets.create(Path(sys.argv[2]))
    took = time.perf_counter() - start
    client.datasets.delete(made)
high = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(took, int(high.split()[1]) / 1024)
"""


@contextmanager
def running_server(directory: Path, **settings: str) -> Iterator[tuple[str, int]]:
    """Run `lmaas-server` and give its URL and process id."""
    named = {f"LMAAS_SERVER_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "lmaas_server", "--port", "0", "--data-dir", str(directory)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "LMAAS_SERVER_PREWARM": "false", **named}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        try:
            found = re.search(r"http://[^,\s]+", process.stdout.readline())
            assert found
            yield found.group(), process.pid
        finally:
            process.terminate()


def write_npz(path: Path, megabytes: int) -> None:
    """Write random bytes as rows of a mebibyte's thousandth, without holding them all."""
    import zipfile

    rows = megabytes * 1024
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({rows}, 1024), }}"
    head += " " * (-(10 + len(head) + 1) % 64) + "\n"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as file,
    ):
        file.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode())
        for _ in range(megabytes):
            file.write(os.urandom(1 << 20))


def uploaded(url: str, path: Path, *, above: int) -> tuple[float, float]:
    """Upload in a fresh process; return the seconds it took and the most memory it had, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", _UPLOAD, url, str(path), str(above)], capture_output=True, text=True, check=True
    )
    took, memory = done.stdout.split()
    return float(took), float(memory)


def measure() -> tuple[str, list[Row]]:
    """Measure copying, one stream and parts in turn."""
    with tempfile.TemporaryDirectory(prefix="lmaas-bench-") as folder:
        path, copy = Path(folder, "data.npz"), Path(folder, "copy")
        write_npz(path, MEGABYTES)
        limits = {"max_upload_mb": str(MEGABYTES + 64), "max_unpacked_mb": str(2 * MEGABYTES + 64)}
        with running_server(Path(folder, "served"), **limits) as (url, _):
            copies, streams, parts = [], [], []
            for _ in range(ROUNDS + 1):  # the first warms the file and is not counted
                copies.append(_copied(path, copy))
                streams.append(uploaded(url, path, above=NEVER))
                parts.append(uploaded(url, path, above=0))
    found = []
    for what, measured in (("one stream", streams), ("parts", parts)):
        ratio = statistics.median(copies[1:]) / statistics.median(took for took, _ in measured[1:])
        memory = max(memory for _, memory in measured)
        target = 0.5 if what == "parts" else None
        found.append(
            Row(
                f"{MEGABYTES} MB in {what}, over cp and sha256",
                f"{ratio:.2f}x",
                ">= 0.5x" if target else "",
                ratio >= target if target else None,
            )
        )
        found.append(Row("... memory of the client's process", f"{memory:.0f} MB", "<= 64 MB", memory <= 64))
    return "Uploads", found


def _copied(path: Path, copy: Path) -> float:
    def run() -> None:
        shutil.copyfile(path, copy)
        digest = hashlib.sha256()
        with copy.open("rb", buffering=0) as file:
            while block := file.read(1 << 20):
                digest.update(block)

    took = seconds(run)
    copy.unlink()
    return took
