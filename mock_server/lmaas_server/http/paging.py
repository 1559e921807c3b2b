"""Lists: the query of a page and the shape of its answer. Knows no noun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lmaas_server.errors import InvalidError
from lmaas_server.records import PageRequest

__all__ = ["Query", "list_of", "page_of", "queries_of"]

MAX_LIMIT = 1000
_MAX_DIGITS = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A parameter in the query of a path."""

    name: str
    about: str
    kind: str = "string"
    choices: tuple[str, ...] = ()
    low: int = 0
    high: int = 2**31


def page_of(args: Mapping[str, str], *, order: str) -> PageRequest:
    """Read `after`, `limit` and `order`; what is out of range is an error, never clipped."""
    wanted = args.get("order", order)
    if wanted not in {"asc", "desc"}:
        message = f"`order` is 'asc' or 'desc', not {wanted[:40]!r}."
        raise InvalidError(message, code="invalid_value", param="order")
    limit = _whole(args.get("limit", "20"), name="limit", low=1, high=MAX_LIMIT)
    return PageRequest(after=args.get("after") or None, limit=limit, order=wanted)


def queries_of(args: Mapping[str, str], known: Sequence[Query], *, paged: bool) -> dict[str, Any]:
    """Check the query against what the path knows; a misspelt filter would be silent, so it is an error."""
    names = {query.name: query for query in known}
    page_names = {"after", "limit", "order"} if paged else set()
    for name in args:
        if name not in names and name not in page_names:
            takes = ", ".join(sorted({*names, *page_names})) or "no parameters"
            message = f"Unknown query parameter `{name[:64]}`; this path takes {takes}."
            raise InvalidError(message, code="unknown_parameter", param=name[:64])
    return {name: _read(names[name], value) for name, value in args.items() if name in names}


def list_of(data: Sequence[Any], *, has_more: bool) -> dict[str, Any]:
    """Return the answer of a list; every item has an `id`, but for errors that stand in the place of one."""
    ids = [id for item in data if (id := item.get("id") if isinstance(item, dict) else item.id) is not None]
    return {
        "object": "list",
        "data": list(data),
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "has_more": has_more,
    }


def _read(query: Query, value: str) -> Any:
    if query.choices and value not in query.choices:
        words = ", ".join(repr(choice) for choice in query.choices)
        message = f"`{query.name}` is one of {words}, not {value[:40]!r}."
        raise InvalidError(message, code="invalid_value", param=query.name)
    if query.kind == "integer":
        return _whole(value, name=query.name, low=query.low, high=query.high)
    if query.kind == "boolean":
        if value.lower() not in {"true", "false", "1", "0"}:
            message = f"`{query.name}` is true or false, not {value[:40]!r}."
            raise InvalidError(message, code="invalid_value", param=query.name)
        return value.lower() in {"true", "1"}
    return value


def _whole(value: str, *, name: str, low: int, high: int) -> int:
    number = int(value) if value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS else low - 1
    if not low <= number <= high:
        message = f"`{name}` is a whole number from {low} to {high}, not {value[:40]!r}."
        raise InvalidError(message, code="invalid_value", param=name)
    return number
