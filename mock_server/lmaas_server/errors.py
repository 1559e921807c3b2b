"""What can go wrong, in the words of the domain; knows no HTTP.

    ServiceError            code, message, param
    ├── MalformedError      the message cannot be read at all
    ├── UnauthenticatedError
    ├── ForbiddenError
    ├── MissingError        no such thing
    ├── ConflictError       true, but not now, or not together with what is there
    ├── TooLargeError
    ├── UnsupportedError    a content type or format nobody here reads
    ├── InvalidError        readable and wrong: names the place and what would be right
    ├── RateLimitedError    retry_after
    └── UnavailableError    retry_after

`http/errors.py` holds the one table from these classes to status codes.
"""

from __future__ import annotations


class ServiceError(Exception):
    """Anything the caller should be told about; everything else is a bug and becomes a 500."""

    def __init__(self, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.__dict__)


def _rebuild(kind: type[ServiceError], state: dict[str, object]) -> ServiceError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (state["message"],)
    return error


class MalformedError(ServiceError):
    """The message cannot be read: broken JSON, a wrong npy header, a multipart body without a file."""


class UnauthenticatedError(ServiceError):
    """No key, or none the server knows."""


class ForbiddenError(ServiceError):
    """A known key that may not do this."""


class MissingError(ServiceError):
    """There is no object of that id, or no longer."""


class ConflictError(ServiceError):
    """The state of things forbids it; `retryable` says whether the same request may succeed in a moment."""

    def __init__(self, message: str, *, code: str, param: str | None = None, retryable: bool = False) -> None:
        super().__init__(message, code=code, param=param)
        self.retryable = retryable


class TooLargeError(ServiceError):
    """The body, or what it would unpack to, is over a limit."""


class UnsupportedError(ServiceError):
    """A content type or file format that is not read here."""


class InvalidError(ServiceError):
    """Readable and wrong; `param` names the field or row."""


class RateLimitedError(ServiceError):
    """Too many requests for this key; `retry_after` in seconds."""

    def __init__(self, message: str, *, code: str = "rate_limited", retry_after: float) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after


class UnavailableError(ServiceError):
    """Not now: draining, starting, or full; `retry_after` in seconds."""

    def __init__(self, message: str, *, code: str, retry_after: float = 1.0) -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after
