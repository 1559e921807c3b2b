"""Read files, each in a process of its own: `reading_within.py MEMORY` reads them and goes through their rows.

It prints a line once everything is imported. Then each line it gets is JSON: `path` and `input` of a file, and the path
of a `small` one like it. A fork reads the small one, answers with its `pid`, waits for a line, answers with how many
rows the other has and how many bytes they come to, and ends with one more line. Of language the tokens are made, too.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from lmaas_server.engine.base_models import BaseModels
from lmaas_server.engine.data import csv_rows, jsonl_rows, parquet_rows
from lmaas_server.engine.data.examples import Examples, ReadLimits
from lmaas_server.engine.data.lines import Lines
from lmaas_server.engine.data.reader import read_dataset
from lmaas_server.engine.data.tokens import Tokens
from lmaas_server.engine.learning.language_rows import Cut
from lmaas_server.engine.learning.language_setup import rows_of


def weighed(examples: Examples) -> int:
    """Go through all rows."""
    if isinstance(examples.inputs, Lines):
        return sum(len(str(row)) for row in examples.inputs)
    return sum(row.nbytes for row in examples.inputs)


def main(memory: int) -> None:
    torch.set_num_threads(1)
    tokens = Tokens.load(BaseModels().get("stories-260k").directory)
    cut = Cut(batch_size=8, accumulation=1, max_tokens=None, seed=0)
    limits = ReadLimits(max_unpacked_bytes=1 << 32, max_memory_bytes=memory)
    for reader in (csv_rows, jsonl_rows, parquet_rows):
        reader.BLOCK_BYTES = memory  # what is parsed at once, and some copies of it, are beside the rows

    def gone_through(path: str, given: dict[str, object]) -> dict[str, object]:
        examples = read_dataset(Path(path), input=given, limits=limits)
        learned = rows_of(examples, tokens, 512, cut).tokens if isinstance(examples.inputs, Lines) else None
        return {"rows": len(examples), "bytes": weighed(examples), "tokens": learned}

    tell({})
    while line := sys.stdin.readline():
        if os.fork():
            os.wait()
            continue
        file = json.loads(line)
        gone_through(file["small"], file["input"])
        tell({"pid": os.getpid()})
        sys.stdin.readline()
        tell(gone_through(file["path"], file["input"]))
        sys.stdin.readline()
        os._exit(0)


def tell(what: dict) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - it is what the parent reads


if __name__ == "__main__":
    main(int(sys.argv[1]))
