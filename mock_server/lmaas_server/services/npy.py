"""An array as a message: numpy's npy format read and written by hand. Knows no rows and no model.

The header is a Python literal, parsed as one and never evaluated; the numbers are used where they lie in the body.
Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import ast
import functools
import math
from typing import TYPE_CHECKING, Any, TypeAlias

from lmaas_server.errors import MalformedError, UnsupportedError

if TYPE_CHECKING:  # a server that has been asked nothing yet does without: 8 MB, a tenth of the start
    import numpy as np

__all__ = ["Array", "array_of", "bytes_of"]

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

_MAGIC = b"\x93NUMPY"
_MIN_BYTES = 12
_MAX_HEADER = 4096
_KINDS = "biuf"


def array_of(body: bytes) -> Array:
    """Return the array in `body`: a read-only view, not a copy.

    Raises:
        MalformedError: `npy_malformed`, it is no npy or its length is not what the header says.
        UnsupportedError: `dtype_unsupported`, it holds anything but plain numbers.
    """
    import numpy as np

    start = _header_end(body)
    dtype, fortran, shape = _header(body[8:start])
    size = math.prod(shape) * dtype.itemsize
    if len(body) - start != size:
        message = f"The npy header says shape {shape} of {dtype}, {size} bytes; {len(body) - start} came after it."
        raise MalformedError(message, code="npy_malformed")
    flat = np.frombuffer(body, dtype=dtype, offset=start) if size else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def bytes_of(array: Array) -> bytes:
    """Return an array of numbers as an npy message."""
    import numpy as np

    flat = np.ascontiguousarray(array)
    return _written_header(flat.dtype.str, flat.shape) + flat.tobytes()


def _header_end(body: bytes) -> int:
    if not body.startswith(_MAGIC) or len(body) < _MIN_BYTES or body[6] not in {1, 2}:
        message = "The body is no npy array; write it with numpy.save (format version 1 or 2)."
        raise MalformedError(message, code="npy_malformed")
    width = 2 if body[6] == 1 else 4
    end = 8 + width + int.from_bytes(body[8 : 8 + width], "little")
    if end > min(len(body), _MAX_HEADER):
        raise MalformedError("The npy header is longer than the body or 4096 bytes.", code="npy_malformed")
    return end


@functools.lru_cache(maxsize=1024)
def _header(raw: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """Read the literal after its length: the same shape comes again and again."""
    import numpy as np

    text = raw[raw.index(b"{") :] if b"{" in raw else b""
    try:
        fields = ast.literal_eval(text.decode("latin-1").strip())
        descr, fortran, shape = fields["descr"], fields["fortran_order"], fields["shape"]
        dtype = np.dtype(descr) if isinstance(descr, str) else None
    except (ValueError, TypeError, SyntaxError, KeyError, RecursionError, MemoryError) as exc:
        raise MalformedError("The npy header cannot be read.", code="npy_malformed") from exc
    if dtype is None or dtype.kind not in _KINDS or dtype.itemsize == 0:
        message = f"The npy array is of {descr!r}; rows are plain numbers, float32 best."[:300]
        raise UnsupportedError(message, code="dtype_unsupported")
    if not isinstance(shape, tuple) or any(type(size) is not int or not 0 <= size < 2**40 for size in shape):
        raise MalformedError(f"The npy header claims the shape {shape!r}."[:300], code="npy_malformed")
    return dtype, bool(fortran), shape


@functools.lru_cache(maxsize=1024)
def _written_header(descr: str, shape: tuple[int, ...]) -> bytes:
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode("latin-1")
    # The numbers begin at a multiple of 64, as the format asks.
    padding = -(len(_MAGIC) + 4 + len(text) + 1) % 64
    text += b" " * padding + b"\n"
    return _MAGIC + b"\x01\x00" + len(text).to_bytes(2, "little") + text
