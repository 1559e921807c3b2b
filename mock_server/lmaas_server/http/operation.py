"""What an endpoint is: its method and path, what it takes and gives. The router and the OpenAPI document read the same.

Knows no noun; the routes declare operations on their methods.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from flask import Request

from lmaas_server.http.paging import Query
from lmaas_server.records import PageRequest

__all__ = ["Answer", "Call", "Operation", "operation", "operations_of"]

HandlerT = TypeVar("HandlerT", bound=Callable[..., Any])
_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An endpoint, described once."""

    method: str
    path: str
    """In Flask's spelling: `/v1/jobs/<job>`."""
    name: str
    summary: str
    tag: str
    body: Any = None
    """The type of the JSON body, or a `OneOf`."""
    body_kind: Literal["none", "json", "upload", "raw", "stream"] = "none"
    accepts: tuple[str, ...] = ()
    """Content types of a raw body."""
    answer: Any = None
    """The type of the JSON answer; None where it is no JSON."""
    listed: bool = False
    """The answer is a page of `answer`."""
    order: str = "desc"
    gives: tuple[str, ...] = ("application/json",)
    query: tuple[Query, ...] = ()
    errors: tuple[int, ...] = ()
    is_open: bool = False
    """Answered without a key, also while draining."""
    own_replays: bool = False
    """The service itself keeps a repeated request from being done twice."""
    quick: bool = False
    """Asked so often that Flask's own work for a request would show: requests go past it (`http.lane`).

    Its handler answers in steps (`engine.serving.steps`).
    """

    @property
    def mutates(self) -> bool:
        """Whether `Idempotency-Key` means something here."""
        return self.method in {"POST", "PUT", "PATCH", "DELETE"}

    @property
    def parameters(self) -> list[str]:
        """Names in the path."""
        return _PARAMETER.findall(self.path)

    @property
    def openapi_path(self) -> str:
        """`/v1/jobs/{job}`."""
        return _PARAMETER.sub(r"{\1}", self.path)


# Made for every prediction: freezing it would triple what that takes.
@dataclass(slots=True, kw_only=True)
class Call:
    """One request, as the handler of an operation sees it: authenticated, read and validated."""

    request: Request
    request_id: str
    caller: str
    request_key: str | None = None
    """From `Idempotency-Key`, the caller and the path: ids are derived from it."""
    fingerprint: str = ""
    """Of the body, where the service keeps its own replays."""
    body: Any = None
    raw: bytes = b""
    media: str = ""
    accept: str = ""
    """The header `Accept`."""
    page: PageRequest = field(default_factory=PageRequest)
    query: dict[str, Any] = field(default_factory=dict)


# Made for every prediction: freezing it would triple what that takes.
@dataclass(slots=True, kw_only=True)
class Answer:
    """What goes back when it is not plain JSON of the handler's return value."""

    body: bytes
    status: int = 200
    media: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def operation(method: str, path: str, **about: Any) -> Callable[[HandlerT], HandlerT]:
    """Mark a method of a routes class as the handler of an endpoint; its docstring is the summary."""

    def mark(handler: HandlerT) -> HandlerT:
        summary = (handler.__doc__ or "").strip()
        name = handler.__qualname__.replace("Routes", "").replace(".", "_").lower()
        kind = about.pop("body_kind", "json" if about.get("body") is not None else "none")
        described = Operation(method=method, path=path, name=name, summary=summary, body_kind=kind, **about)
        handler.__operation__ = described  # type: ignore[attr-defined]  # a mark; functions take any
        return handler

    return mark


def operations_of(routes: object) -> Iterator[tuple[Operation, str]]:
    """The operations of a routes class or object, with the names of their methods, as written."""
    kind = routes if isinstance(routes, type) else type(routes)
    for name, member in vars(kind).items():
        described = getattr(member, "__operation__", None)
        if isinstance(described, Operation):
            yield described, name
