"""Rows of a JSON body: numbers are read into one array at once, all else becomes Python's own objects. Knows no model.

Making a Python float of every number and an array of those takes three times as long as reading the text. simdjson
gives the numbers as they lie in memory, whatever lists they stood in. That they stood in lists of one shape is told by
counting lists where rows are plain, and elsewhere by what is left of the text without the numbers.
"""

from __future__ import annotations

import functools
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast, overload

import orjson

from lmaas_server.engine.data.examples import Array

__all__ = ["NumberRows", "plain_rows"]

_FIELD = "inputs"
_OF_NUMBERS = b"0123456789+-.eE \t\r\n"
"""What stands in numbers and between them."""
_BEGINNING = re.compile(rb'\s*\{\s*"inputs"\s*:\s*\[[\s\[]*[-0-9]')
"""How such a body begins, up to its first number."""
_PLAIN = 2
"""Axes of rows that are lists of numbers."""
_MOST_KEPT = 1 << 19
_PARSERS_KEPT = 2
_parsers: deque[Any] = deque()
"""Parsers, each with the memory of the longest body it has read, fourteen times as much: to ask the system for it anew
takes longer than to read 64 rows. Those of bodies above half a MiB are not kept."""


class NumberRows(Sequence[Any]):
    """Rows of numbers: an array to numpy, and lists to who looks at them one by one.

    A table tells `1` from `1.0`, and an array of both does not: the lists are read from the text again.
    """

    __slots__ = ("_array", "_body", "_lists")

    def __init__(self, array: Array, body: bytes) -> None:
        """`array` is (rows, ...) of the same numbers as `body` has."""
        self._array = array
        self._body = body
        self._lists: list[Any] | None = None

    def __repr__(self) -> str:
        return f"NumberRows({self._array.shape}, {self._array.dtype})"

    def __len__(self) -> int:
        return len(self._array)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        return self._rows[place]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Return the numbers as float64 or int64, read-only; https://numpy.org/doc/stable/user/basics.interoperability.html."""
        if dtype is None and not copy:
            return self._array
        return self._array.astype(dtype or self._array.dtype, copy=bool(copy))

    @property
    def _rows(self) -> list[Any]:
        if self._lists is None:
            self._lists = orjson.loads(self._body)[_FIELD]
        return self._lists


def plain_rows(body: bytes) -> Sequence[Any] | None:
    """Return the rows of a body that is `{"inputs": [...]}` and holds nothing else; None for any other.

    Also None where orjson does not read it: NaN and numbers of any length are for others.
    """
    if (numbers := _number_rows(body)) is not None:
        return numbers
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if type(read) is not dict or len(read) != 1:
        return None
    rows = read.get(_FIELD)
    return rows if type(rows) is list and rows else None


def _number_rows(body: bytes) -> NumberRows | None:
    """Return rows that are numbers in lists of one shape; None for all others, be they right or wrong."""
    if _BEGINNING.match(body) is None:
        return None
    import simdjson  # late: a server without models needs none of it

    parser = None
    if len(body) <= _MOST_KEPT:
        with suppress(IndexError):
            parser = _parsers.pop()
    parser = parser or simdjson.Parser()
    try:
        rows = _read(parser, body)
    except (ValueError, TypeError, LookupError, RuntimeError):
        return None  # no JSON; a word, a name or too large a number in it; lists in more lists than an array has axes
    if len(body) <= _MOST_KEPT and len(_parsers) < _PARSERS_KEPT:
        _parsers.append(parser)
    return rows


def _read(parser: Any, body: bytes) -> NumberRows | None:
    import numpy as np
    import simdjson

    whole = b"." not in body
    read = cast("Mapping[str, Any]", parser.parse(body))
    inputs = read[_FIELD]
    shape, row = [len(inputs)], inputs[0]
    while isinstance(row, simdjson.Array):
        shape.append(len(row))
        row = row[0]
    if len(read) != 1 or not _is_even(inputs, shape, body):
        return None
    flat = np.frombuffer(inputs.as_buffer(of_type="i" if whole else "d"), np.int64 if whole else np.float64)
    # Of another size where an empty list has left what a list of one number does.
    return NumberRows(flat.reshape(shape), body)


def _is_even(inputs: Sequence[Any], shape: Sequence[int], body: bytes) -> bool:
    """Tell whether the numbers stand in lists of one shape."""
    if len(shape) == _PLAIN:
        # As many lists as there are rows, beside the one around them, and each of a row's length: none is in another.
        return body.count(b"[") == 1 + shape[0] and all(len(row) == shape[1] for row in inputs)
    whole = b'{"inputs":[' + b",".join([_frame(tuple(shape[1:]))] * shape[0]) + b"]}"
    return body.translate(None, _OF_NUMBERS) == whole


@functools.lru_cache(maxsize=64)
def _frame(shape: tuple[int, ...]) -> bytes:
    """Return what is left of a row of such a shape without its numbers."""
    return b"[" + b",".join([_frame(shape[1:])] * shape[0]) + b"]" if shape else b""
