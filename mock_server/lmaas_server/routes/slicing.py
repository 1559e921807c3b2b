"""Pages of a short list that is at hand as a whole. Knows no noun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lmaas_server.errors import MissingError
from lmaas_server.records import PageRequest

__all__ = ["sliced"]


def sliced(newest_first: Sequence[Any], page: PageRequest) -> tuple[Sequence[Any], bool]:
    """Return one page of the items and whether there are more after it.

    Raises:
        MissingError: `after_not_found`.
    """
    items = list(newest_first) if page.order == "desc" else list(reversed(newest_first))
    first = 0
    if page.after is not None:
        ids = [item.id for item in items]
        if page.after not in ids:
            message = f"`after` is {page.after[:80]!r}, which is not in this list; give the last_id of the page before."
            raise MissingError(message, code="after_not_found", param="after")
        first = ids.index(page.after) + 1
    return items[first : first + page.limit], first + page.limit < len(items)
