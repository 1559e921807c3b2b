"""Random hex digits of the system's own generator, drawn many at a time. Knows nothing of what they name.

A draw from the system lets go of the interpreter's lock, and under load a thread that lets go of it waits for the
others: two draws a request, one id each, took more of it than the request's JSON. So one draw serves for hundreds.
"""

from __future__ import annotations

import os
from collections import deque

__all__ = ["random_hex"]

_BYTES = 12
_AT_ONCE = 512

_drawn: deque[str] = deque()
# A process that was forked would give out the same again.
os.register_at_fork(after_in_child=_drawn.clear)


def random_hex() -> str:
    """Return 24 hex digits that nobody was given before."""
    try:
        return _drawn.popleft()
    except IndexError:
        digits = os.urandom(_BYTES * _AT_ONCE).hex()
        step = 2 * _BYTES
        _drawn.extend(digits[at : at + step] for at in range(step, len(digits), step))
        return digits[:step]
