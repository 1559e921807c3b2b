"""Running text from a txt file, to learn a language from: one text whose rows are its paragraphs. Imports no torch."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from lmaas_server.engine.data.examples import Array, Examples, Json, ReadLimits
from lmaas_server.engine.data.lines import Places
from lmaas_server.errors import InvalidError, TooLargeError

KIND = "text"
FORM = "running"
"""In the `input` of such a dataset: its rows follow each other, where other texts stand for themselves."""
MOST_BYTES = 1 << 16
"""Of a row: a longer paragraph, or a text that has none, is cut into several."""
_PREVIEW = 1000
_LONGEST_CHARACTER = 4
_CONTINUES = range(0x80, 0xC0)
"""Bytes of UTF-8 that a character does not begin with."""


def read(path: Path, name: str, limits: ReadLimits) -> Examples:
    """Read a UTF-8 text; its rows are paragraphs with the blank lines after them, so that they join to the text.

    The rows stay in the file: each is read again when it is asked for.

    Raises:
        InvalidError: `encoding_unknown`, `text_invalid`, `text_empty`, naming the byte.
        TooLargeError: `too_many_rows`.
    """
    places = Places(path, limits)
    first = last = _begin_of_text(path)
    has_words = ended = False
    for line in _lines(path, last):
        _check(line, last, name)
        is_blank = not line.strip()
        too_long = last + len(line) - first > MOST_BYTES
        if last > first and ((ended and not is_blank) or too_long):
            places.add(first, last)
            first, ended = last, False
        ended = ended or (is_blank and has_words)
        has_words = has_words or not is_blank
        last += len(line)
        if places.exceeds:
            raise TooLargeError(
                f"{name} has more than {limits.max_rows:,} paragraphs", code="too_many_rows", param="file"
            )
    if not has_words:
        raise InvalidError(f"{name} is an empty text", code="text_empty", param="file")
    places.add(first, last)
    return Examples(
        inputs=cast("Array", places.rows(_text)),  # indexed as an array is
        targets=None,
        format="txt",
        input={"kind": KIND, "form": FORM},
        target={"kind": "none"},
    )


def preview(row: Any) -> Any:
    """Return one paragraph as JSON shows it, long ones cut."""
    text = str(row)
    return text if len(text) <= _PREVIEW else f"{text[:_PREVIEW]}..."


def joined(inputs: Iterable[str]) -> str:
    """Return the text that the rows are of."""
    return "".join(inputs)


def is_running(input: Json) -> bool:
    """Whether a dataset's rows follow each other."""
    return bool(input.get("form") == FORM)


def _begin_of_text(path: Path) -> int:
    with path.open("rb") as stream:
        return len(codecs.BOM_UTF8) if stream.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0


def _lines(path: Path, begin: int) -> Iterator[bytes]:
    """Yield lines with their ends; of a line longer than a row, pieces that are whole characters."""
    with path.open("rb") as stream:
        stream.seek(begin)
        while line := stream.readline(MOST_BYTES):
            if not line.endswith(b"\n") and (after := stream.read(1)):
                spare = _spare(line[-_LONGEST_CHARACTER:] + after)
                stream.seek(-spare - 1, os.SEEK_CUR)
                yield line[: len(line) - spare]
            else:
                yield line


def _spare(end: bytes) -> int:
    """Return how many bytes before the last belong to it: not within a character, nor a line end, is a line cut."""
    spare = 0
    while spare < len(end) - 1 and end[-1 - spare] in _CONTINUES:
        spare += 1
    return spare + (end[-2 - spare : len(end) - spare] == b"\r\n")


def _check(line: bytes, begin: int, name: str) -> None:
    try:
        line.decode()
    except UnicodeDecodeError as exc:
        raise InvalidError(
            f"{name} is not UTF-8: byte {begin + exc.start:,} is {exc.object[exc.start]:#04x}; save it as UTF-8",
            code="encoding_unknown",
            param="file",
        ) from exc
    if b"\0" in line:
        raise InvalidError(
            f"{name} holds the character NUL at byte {begin + line.index(0):,}; it is no text",
            code="text_invalid",
            param="file",
        )


def _text(row: bytes) -> str:
    return row.decode().replace("\r\n", "\n")
