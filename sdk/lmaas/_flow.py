"""How a call written once becomes a blocking or an awaited one. Knows no endpoint by name.

`@endpoint` stands on a method that returns a flow; its siblings `@listing` (`_listing.py`) on one that describes a
list, `@streaming` (`_stream.py`) on one that returns a flow of items. Read through a resource of the blocking client
the method blocks, of the async client it is awaited, of `with_raw_response` it gives a `RawResponse`; the type
variable for the driver tells type checkers which.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast, overload

from lmaas._decode import answered, decode
from lmaas._request import Answer, CallOptions, Flow, Request, ResultT
from lmaas._retry import RetryPolicy, retrying
from lmaas._sync_driver import SyncDriver
from lmaas.errors import APIResponseValidationError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from lmaas._async_driver import AsyncDriver

P = ParamSpec("P")
DriverT = TypeVar("DriverT")
OwnerT = TypeVar("OwnerT")
ModelT = TypeVar("ModelT", bound="BaseModel")

CALL_OPTIONS = frozenset(CallOptions.__annotations__)


def call(request: Request, kind: type[ModelT]) -> Flow[ModelT]:
    """Send a request and return the body of its answer as `kind`; an answer that is no success is raised."""
    answer = answered((yield request), request)
    return decode(answer, request, kind)


def call_bytes(request: Request) -> Flow[bytes]:
    """Send a request and return the bytes of its answer."""
    return answered((yield request), request).body


class Raw(Generic[DriverT]):
    """The mode of `with_raw_response` on top of a driver; a mark for type checkers, never made."""


class Resource(Generic[DriverT]):
    """A noun of the API, or the client itself: what its endpoints need to run."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.core!r}>"


@dataclass(frozen=True, slots=True)
class Core:
    """A driver, and how it is to be used."""

    driver: SyncDriver | AsyncDriver
    policy: RetryPolicy
    raw: bool = False

    def __repr__(self) -> str:
        return repr(self.driver)

    def as_raw(self) -> Core:
        """Return the same, giving raw responses."""
        return replace(self, raw=True)

    def run(self, flow: Flow[Any]) -> Any:
        """Run the flow: return its value, or the coroutine that does."""
        return self.driver.run(retrying(captured(flow) if self.raw else flow, self.policy))


@dataclass(frozen=True, slots=True)
class RawResponse(Generic[ResultT]):
    """The last answer of a call as it came, with the value it stands for."""

    status: int
    headers: dict[str, str]
    """By name in lower case."""
    body: bytes = field(repr=False)
    _value: ResultT | APIResponseValidationError = field(repr=False)

    @property
    def request_id(self) -> str | None:
        """The server's name for the request."""
        return self.headers.get("x-request-id")

    def parse(self) -> ResultT:
        """Return what the call returns without `with_raw_response`.

        Raises:
            APIResponseValidationError: The body is not what was agreed.
        """
        if isinstance(self._value, APIResponseValidationError):
            raise self._value
        return self._value


def captured(flow: Flow[ResultT]) -> Flow[RawResponse[ResultT]]:
    """Run `flow` and return the last answer it was given beside its value; errors of status are raised as ever."""
    last = Answer(status=0)
    reply: object = None
    error: BaseException | None = None
    while True:
        try:
            action = flow.send(reply) if error is None else flow.throw(error)
        except StopIteration as stop:
            return RawResponse(last.status, dict(last.headers), last.body, cast("ResultT", stop.value))
        except APIResponseValidationError as exc:
            return RawResponse(last.status, dict(last.headers), last.body, exc)
        error = None
        try:
            reply = yield action
            last = reply if isinstance(reply, Answer) else last
        except GeneratorExit:
            flow.close()
            raise
        except BaseException as exc:  # noqa: BLE001 - the flow decides what is to be done about it
            error = exc


class Described(Generic[OwnerT, P, ResultT]):
    """A method written once: checks the names of its keywords, and shows the method's own documentation."""

    def __init__(self, function: Callable[Concatenate[OwnerT, P], ResultT]) -> None:
        update_wrapper(cast("Any", self), function)
        self.function = function

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.function.__qualname__}>"

    @cached_property
    def _keywords(self) -> frozenset[str]:
        names = frozenset(inspect.signature(self.function).parameters)
        return (names | CALL_OPTIONS if "options" in names else names) - {"self", "options"}

    def describe(self, owner: OwnerT, /, *args: P.args, **kwargs: P.kwargs) -> ResultT:
        """Return what the method itself returns: the flow or listing, not yet run."""
        unknown = kwargs.keys() - self._keywords
        if unknown:
            raise self._unknown(min(unknown))
        return self.function(owner, *args, **kwargs)

    def _unknown(self, name: str) -> TypeError:
        from difflib import get_close_matches

        close = get_close_matches(name, self._keywords, n=1)
        right = f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(sorted(self._keywords))}"
        return TypeError(f"{self.function.__name__}() has no argument {name!r}; {right}")


class Bound:
    """A described method of one resource, ready to be called; `help()` shows the method it stands for."""

    def __init__(self, described: Described[Any, ..., Any], owner: Any, run: Callable[[Any], Any]) -> None:
        self._described = described
        self._owner = owner
        self._run = run
        self.__wrapped__ = described.function.__get__(owner)
        self.__doc__ = described.__doc__
        self.__name__ = described.function.__name__

    def __repr__(self) -> str:
        return f"<{self._described!r} of {self._owner!r}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(self._described.describe(self._owner, *args, **kwargs))


class endpoint(Described[OwnerT, P, Flow[ResultT]], Generic[OwnerT, P, ResultT]):  # noqa: N801 - a decorator
    """Make a method that returns a flow a blocking method on `LMaaS` and a coroutine function on `AsyncLMaaS`."""

    @overload
    def __get__(self, owner: None, kind: Any = None) -> Self: ...
    @overload
    def __get__(self, owner: Resource[SyncDriver], kind: Any = None) -> Callable[P, ResultT]: ...
    @overload
    def __get__(self, owner: Resource[AsyncDriver], kind: Any = None) -> Callable[P, Coroutine[Any, Any, ResultT]]: ...
    @overload
    def __get__(self, owner: Resource[Raw[SyncDriver]], kind: Any = None) -> Callable[P, RawResponse[ResultT]]: ...
    @overload
    def __get__(
        self, owner: Resource[Raw[AsyncDriver]], kind: Any = None
    ) -> Callable[P, Coroutine[Any, Any, RawResponse[ResultT]]]: ...
    def __get__(self, owner: Resource[Any] | None, kind: Any = None) -> Any:
        """Return the method as the owner's driver runs it."""
        return self if owner is None else Bound(self, owner, owner.core.run)
