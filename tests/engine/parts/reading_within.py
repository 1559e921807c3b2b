"""Read files, each in a process of its own: `reading_within.py MEMORY` reads them and goes through their rows.

It prints a line once everything is imported. Then each line it gets is JSON, `path` and `input` of a file. A fork of it
answers with its `pid`, waits for a second line, answers with how many rows there are and how many
bytes they come to, and ends with a third. Of language the tokens are made, too.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
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
    _import_the_rest()
    tokens.encode("once upon a time " * 5000)  # a tokenizer keeps the words it has met, up to a number of them
    tell({})
    while line := sys.stdin.readline():
        if os.fork():
            os.wait()
            continue
        tell({"pid": os.getpid()})
        sys.stdin.readline()
        file = json.loads(line)
        examples = read_dataset(Path(file["path"]), input=file["input"], limits=limits)
        learned = rows_of(examples, tokens, 512, cut).tokens if isinstance(examples.inputs, Lines) else None
        tell({"rows": len(examples), "bytes": weighed(examples), "tokens": learned})
        sys.stdin.readline()
        os._exit(0)


def _import_the_rest() -> None:
    """Read small files of columns: their readers come late, and bring more along than rows ever take."""
    parquet = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"size": [1, 2], "label": ["yes", "no"]}), parquet)
    lines = b'{"size": 1, "label": "yes"}\n{"size": 2, "label": "no"}\n'
    files = {".csv": b"size,label\n1,yes\n2,no\n", ".jsonl": lines, ".parquet": parquet.getvalue()}
    for ending, data in files.items():
        with tempfile.NamedTemporaryFile(suffix=ending) as file:
            file.write(data)
            file.flush()
            read_dataset(Path(file.name), limits=ReadLimits(max_unpacked_bytes=1 << 20))


def tell(what: dict) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - it is what the parent reads


if __name__ == "__main__":
    main(int(sys.argv[1]))
