"""Files of many times the memory that rows may take are read within it, whatever their format.

Measured is the memory of another process that the kernel cannot take back (RssAnon); pages of a file that is mapped it
can, so they are no cost. It is looked at from here a thousand times a second. Each file is read by a new fork of that
process, after a smaller one like it: nothing hangs on what others left behind, or on what blocks of a fixed size take.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from engine_sounds import tone, wav
from PIL import Image

MEMORY = 1 << 18
SIZE = 32 << 20
LANGUAGE = 4 << 20
"""Bytes of files of language, whose tokens take time to make and are eight bytes each."""
MOST = 8 << 20
MOST_OF_LANGUAGE = 1 << 20
"""More than a file of half the size took. Batches and blocks of a fixed size are in memory too, of both."""
SMALLER = 2
TRIES = 3
"""A block of the large file may fit none that the small one left, as memory lies in one process; rows that are kept are
added in each."""
KEPT = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 30)}
"""What the small file took at most stays with the process (mallopt(3)): growth is what the large one took more."""
NOISE = np.random.default_rng(0).integers(0, 256, size=SIZE, dtype=np.uint8)


def repeated(line: str, size: int, *, header: str = "") -> bytes:
    return header.encode() + line.encode() * (size // len(line))


def npz(packing: Callable[..., None], **arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    packing(stream, **arrays)
    return stream.getvalue()


def zipped(member: bytes, ending: str, count: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number in range(count):
            archive.writestr(f"{'ab'[number % 2]}/{number}.{ending}", member)
    return stream.getvalue()


def png() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.resize(np.arange(256, dtype=np.uint8), (256, 256))).save(stream, format="PNG")
    return stream.getvalue()


def parquet(**cells: list) -> bytes:
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(cells), stream, row_group_size=20_000, use_dictionary=False, compression=None)
    return stream.getvalue()


def floats(rows: int, columns: int) -> np.ndarray:
    return np.zeros((rows, columns), dtype=np.float32)


def clips(size: int) -> dict[str, np.ndarray]:
    offsets = np.arange(0, size // 2 + 1, 8192)
    return {"audio": NOISE[:size].view("<i2"), "offset": offsets, "y": offsets[1:] % 2, "sample_rate": np.int64(8000)}


CHAT = {"messages": [{"role": "user", "content": "Who is it? " * 40}, {"role": "assistant", "content": "Me. " * 90}]}
PAIR = {"prompt": "one and one is " * 10, "completion": "two " * 10}
WORDS = "a sentence that is said of it " * 30
LANGUAGES: dict[str, tuple[str, str]] = {
    "messages": ("m.jsonl", json.dumps(CHAT) + "\n"),
    "completions": ("p.jsonl", json.dumps(PAIR) + "\n"),
    "txt": ("t.txt", "Once there was a cat.\nIt sat on a mat and was glad.\n\n"),
    "txt in one line": ("l.txt", "Once there was a cat. "),
}
FILES: dict[str, tuple[str, Callable[[int], bytes], dict]] = {
    "npz of clips": ("s.npz", lambda size: npz(np.savez, **clips(size)), {"kind": "audio"}),
    "packed npz of clips": ("c.npz", lambda size: npz(np.savez_compressed, **clips(size)), {"kind": "audio"}),
    "npz of clips of floats at another rate": (
        "f.npz",
        lambda size: npz(
            np.savez, x=floats(size >> 16, 1 << 14), y=np.arange(size >> 16) % 2, sample_rate=np.int64(16_000)
        ),
        {"kind": "audio", "sample_rate": 8000},
    ),
    "zip of clips": ("w.zip", lambda size: zipped(wav(tone(300, seconds=1)), "wav", size // 16_000), {}),
    "zip of pictures": ("i.zip", lambda size: zipped(png(), "png", size >> 16), {}),
    "npz of pictures": (
        "i.npz",
        lambda size: npz(np.savez, x=NOISE[:size].reshape(-1, 64, 64), y=np.arange(size >> 12) % 2),
        {"kind": "image"},
    ),
    "npz of numbers": ("n.npz", lambda size: npz(np.savez, x=floats(size >> 8, 64), y=np.arange(size >> 8) % 2), {}),
    "csv of texts": ("x.csv", lambda size: repeated(f"{WORDS},yes\n", size, header="text,label\n"), {}),
    "csv": ("t.csv", lambda size: repeated(f"13.25,red {WORDS},yes\n", size, header="size,colour,label\n"), {}),
    "jsonl": (
        "t.jsonl",
        lambda size: repeated(json.dumps({"size": 13.25, "colour": WORDS, "label": "yes"}) + "\n", size),
        {},
    ),
    "parquet": (
        "t.parquet",
        lambda size: parquet(
            size=[1.5] * (size >> 10), colour=[WORDS, None] * (size >> 11), label=["y"] * (size >> 10)
        ),
        {},
    ),
}


class Reader:
    """What reads each file in a process of its own, and the most memory that had meanwhile.

    Arrow's own allocator keeps up to 18 MB where a parquet file takes 2 at once, as what was read before has it; with
    the system's the measure is of the rows.
    """

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        program = [sys.executable, str(Path(__file__).parent / "parts" / "reading_within.py"), str(MEMORY)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", **KEPT}
        self.process = subprocess.Popen(program, text=True, env=environment, **pipes)
        self.process.stdout.readline()

    def say(self, what: dict) -> None:
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def told(self, what: dict) -> dict:
        self.say(what)
        return json.loads(self.process.stdout.readline())

    def memory(self, pid: int) -> int:
        """Bytes a process holds that are of no file."""
        status = Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1)) << 10

    def read(self, path: Path, make: Callable[[int], bytes], size: int, given: dict, most: int) -> tuple[dict, int]:
        """Return what it says of a file of so many bytes, and by how much its memory grew over that of a small one.

        Growth of `most` bytes or more is measured again in another process, whose memory lies otherwise.
        """
        small = path.with_stem("small")
        small.write_bytes(make(size // SMALLER))
        path.write_bytes(make(size))
        for _ in range(TRIES):
            said, grown = self._read_once(path, small, given)
            if grown < most:
                break
            self.close()
            self.start()
        return said, grown

    def _read_once(self, path: Path, small: Path, given: dict) -> tuple[dict, int]:
        pid = self.told({"path": str(path), "small": str(small), "input": given})["pid"]
        before = most = self.memory(pid)
        answers: list[str] = []
        self.say({})
        waiting = threading.Thread(target=lambda: answers.append(self.process.stdout.readline()))
        waiting.start()
        while waiting.is_alive():
            most = max(most, self.memory(pid))
            waiting.join(0.001)
        self.say({})
        return json.loads(answers[0]), most - before

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    found = Reader()
    yield found
    found.close()


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_many_times_the_memory_is_read_within_it(reader, tmp_path, name):
    filename, make, given = FILES[name]
    said, grown = reader.read(tmp_path / filename, make, SIZE, given, MOST)
    assert said["bytes"] > 0
    assert grown < MOST


@pytest.mark.parametrize("name", LANGUAGES)
def test_language_of_many_times_the_memory_is_read_and_made_tokens_within_it(reader, tmp_path, name):
    filename, line = LANGUAGES[name]
    said, grown = reader.read(tmp_path / filename, partial(repeated, line), LANGUAGE, {}, MOST_OF_LANGUAGE)
    assert said["bytes"] > 0.8 * LANGUAGE
    assert said["tokens"] > MEMORY
    assert grown < MOST_OF_LANGUAGE
