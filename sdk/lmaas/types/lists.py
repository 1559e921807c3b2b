"""What every noun shares: pages of a list, a deletion, an error."""

from typing import Generic, Literal, TypeVar

from lmaas.types._wire import WireObject

ItemT = TypeVar("ItemT")


class Page(WireObject, Generic[ItemT]):
    """One page of a list; the next begins `after` the last id."""

    object: Literal["list"] | str = "list"
    data: list[ItemT]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


class Deleted(WireObject):
    """The answer to a deletion."""

    id: str
    object: str
    deleted: bool


class ErrorDetail(WireObject):
    """What was wrong, where, and what would be right."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(WireObject):
    """The body of every answer that is not a success."""

    error: ErrorDetail
