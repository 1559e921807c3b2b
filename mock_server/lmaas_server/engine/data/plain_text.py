"""Running text from a txt file, to learn a language from: one text whose rows are its paragraphs. Imports no torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from lmaas_server.engine.data.examples import Array, Examples, Json, ReadLimits
from lmaas_server.errors import InvalidError, TooLargeError

KIND = "text"
FORM = "running"
"""In the `input` of such a dataset: its rows follow each other, where other texts stand for themselves."""
_PARAGRAPH = re.compile(r".+?(?:\n[ \t]*(?=\n)\n+|\Z)", re.DOTALL)
_PREVIEW = 1000


def read(path: Path, name: str, limits: ReadLimits) -> Examples:
    """Read a UTF-8 text; its rows are paragraphs with the blank lines after them, so that they join to the text."""
    size = path.stat().st_size
    if size > limits.max_unpacked_bytes:
        raise TooLargeError(
            f"{name} has {size:,} bytes; at most {limits.max_unpacked_bytes:,} are taken",
            code="too_large",
            param="file",
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InvalidError(
            f"{name} is not UTF-8: byte {exc.start:,} is {exc.object[exc.start]:#04x}; save it as UTF-8",
            code="encoding_unknown",
            param="file",
        ) from exc
    text = text.replace("\r\n", "\n")
    if not text.strip():
        raise InvalidError(f"{name} is an empty text", code="text_empty", param="file")
    if "\0" in text:
        raise InvalidError(
            f"{name} holds the character NUL at {text.index(chr(0)):,}; it is no text",
            code="text_invalid",
            param="file",
        )
    rows = _PARAGRAPH.findall(text)
    if limits.max_rows is not None and len(rows) > limits.max_rows:
        raise TooLargeError(f"{name} has more than {limits.max_rows:,} paragraphs", code="too_many_rows", param="file")
    inputs = np.empty(len(rows), dtype=object)
    inputs[:] = rows
    return Examples(
        inputs=inputs, targets=None, format="txt", input={"kind": KIND, "form": FORM}, target={"kind": "none"}
    )


def preview(row: Any) -> Any:
    """Return one paragraph as JSON shows it, long ones cut."""
    text = str(row)
    return text if len(text) <= _PREVIEW else f"{text[:_PREVIEW]}..."


def joined(inputs: Array) -> str:
    """Return the text that the rows are of."""
    return "".join(inputs)


def is_running(input: Json) -> bool:
    """Whether a dataset's rows follow each other."""
    return bool(input.get("form") == FORM)
