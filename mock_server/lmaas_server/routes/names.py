"""Names in paths: those in bodies are checked by their types. Knows the pattern only."""

from __future__ import annotations

import functools
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lmaas.types import Name

__all__ = ["is_name"]


@functools.cache
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Name)


def is_name(text: str) -> bool:
    """Tell whether a text from a path is what `Name` says."""
    try:
        _adapter().validate_python(text)
    except ValidationError:
        return False
    return True
