"""Everything the client raises of its own; knows no transport.

    LMaaSError                          status, code, param, request_id
    ├── APIError                        request: what was sent; as_curl()
    │   ├── APIConnectionError          no answer, or only part of one
    │   │   └── APITimeoutError         not in time; also a TimeoutError
    │   ├── APIStatusError              an answer that is not a success: headers, body, retry_after
    │   │   ├── BadRequestError             400
    │   │   ├── AuthenticationError         401
    │   │   ├── PermissionDeniedError       403
    │   │   ├── NotFoundError               404
    │   │   ├── ConflictError               409
    │   │   ├── PayloadTooLargeError        413
    │   │   ├── UnprocessableEntityError    422
    │   │   ├── RateLimitError              429
    │   │   └── InternalServerError         5xx
    │   ├── APIResponseValidationError  a success that cannot be read: body
    │   └── ChecksumError               the server got other bytes than were sent
    ├── InvalidRequestError             wrong before anything is sent; also a ValueError
    ├── JobFailedError                  job
    ├── JobTimeoutError                 job; also a TimeoutError
    ├── DeploymentFailedError           deployment
    ├── FeedbackItemError               item, cause: why one item of a buffer was not stored
    └── FeedbackBufferError             errors: those of a buffer, all together

All pickle. `str()` names the request id and never holds a secret.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from lmaas._redact import redacted_headers, redacted_url

if TYPE_CHECKING:  # saves every program that never sees a failed job the loading of pydantic
    from lmaas.types.deployments import Deployment
    from lmaas.types.feedback import FeedbackItem
    from lmaas.types.jobs import Job

BODY_SHOWN = 4096


@dataclass(frozen=True, slots=True)
class SentRequest:
    """A request as an error remembers it: secrets are redacted when it is made, not when it is shown."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: str | None = None

    @classmethod
    def of(cls, method: str, url: str, headers: Mapping[str, str], body: bytes | str | None) -> Self:
        """Return the request with its secrets redacted and its body, if it is short text."""
        if isinstance(body, bytes):
            body = body.decode() if len(body) <= BODY_SHOWN and _is_text(body) else f"<{len(body)} bytes>"
        return cls(method, redacted_url(url), redacted_headers(headers), body)

    def as_curl(self) -> str:
        """Return a curl command that repeats the request; the key comes from the environment."""
        words = ["curl", "-X", self.method, shlex.quote(self.url)]
        words += ["-H", '"Authorization: Bearer $LMAAS_API_KEY"']
        for name, value in self.headers.items():
            if name.lower() != "authorization":
                words += ["-H", shlex.quote(f"{name}: {value}")]
        if self.body is not None:
            words += ["--data-binary", shlex.quote(self.body)]
        return " ".join(words)


def _is_text(body: bytes) -> bool:
    try:
        return body.decode().isprintable()
    except UnicodeDecodeError:
        return False


class LMaaSError(Exception):
    """Anything that goes wrong in or behind this client."""

    status: int | None = None
    code: str | None = None
    param: str | None = None
    request_id: str | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        facts = [str(self.status)] if self.status is not None else []
        facts += [self.code] if self.code else []
        facts += [f"request id: {self.request_id}"] if self.request_id else []
        return f"{self.message} ({', '.join(facts)})" if facts else self.message

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {str(self)!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.__dict__)


def _rebuild(kind: type[LMaaSError], state: dict[str, Any]) -> LMaaSError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (state["message"],)
    return error


class APIError(LMaaSError):
    """Something that concerns one request."""

    def __init__(self, message: str, *, request: SentRequest | None = None) -> None:
        super().__init__(message)
        self.request = request

    def as_curl(self) -> str:
        """Return a curl command that repeats the request, safe to paste: secrets are redacted."""
        if self.request is None:
            raise ValueError("no request is known to this error")
        return self.request.as_curl()


class APIConnectionError(APIError):
    """No answer came, or only a part of one, after all the attempts there were."""


class APITimeoutError(APIConnectionError, TimeoutError):
    """No answer came in time: the attempt's `timeout` or the call's `deadline`."""


class APIStatusError(APIError):
    """The server answered with something else than a success."""

    status: int

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        request: SentRequest | None = None,
    ) -> None:
        super().__init__(message, request=request)
        self.status = status  # pyright: ignore[reportIncompatibleVariableOverride] - an answer always has one
        self.code = code
        self.type = type
        self.param = param
        self.request_id = request_id
        self.retry_after = retry_after
        """Seconds the server asked to wait, if it did."""
        self.headers = dict(headers or {})
        self.body = body


class BadRequestError(APIStatusError):
    """400: the message cannot be read."""


class AuthenticationError(APIStatusError):
    """401: no key, or one the server does not know."""


class PermissionDeniedError(APIStatusError):
    """403: a known key that may not do this."""


class NotFoundError(APIStatusError):
    """404: there is no such thing, or no longer."""


class ConflictError(APIStatusError):
    """409: the state of things forbids it."""


class PayloadTooLargeError(APIStatusError):
    """413: the body, or what it unpacks to, is over a limit."""


class UnprocessableEntityError(APIStatusError):
    """422: readable and wrong; `param` names the place."""


class RateLimitError(APIStatusError):
    """429: too many requests; `retry_after` says when to come back."""


class InternalServerError(APIStatusError):
    """5xx: the server failed, or is not ready."""


class APIResponseValidationError(APIError):
    """A success whose body is not what was agreed; `body` holds it."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        body: bytes,
        request_id: str | None = None,
        request: SentRequest | None = None,
    ) -> None:
        super().__init__(message, request=request)
        self.status = status
        self.body = body
        self.request_id = request_id


class ChecksumError(APIError):
    """The server stored other bytes than were sent; what it stored has been deleted again where possible."""

    code = "checksum_mismatch"


class InvalidRequestError(LMaaSError, ValueError):
    """The arguments are wrong, and nothing was sent; `param` names the place."""

    code = "invalid_request"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param

    def __str__(self) -> str:
        return self.message


class JobFailedError(LMaaSError):
    """A job that was waited for has failed or was cancelled; `job` tells what is known."""

    def __init__(self, message: str, *, job: Job) -> None:
        super().__init__(message)
        self.job = job
        self.code = job.error.code if job.error else job.status


class JobTimeoutError(LMaaSError, TimeoutError):
    """The wait has ended and the job has not; it goes on, and can be waited for again."""

    code = "job_timeout"

    def __init__(self, message: str, *, job: Job | None) -> None:
        super().__init__(message)
        self.job = job


class DeploymentFailedError(LMaaSError):
    """A deployment did not become ready; `deployment` tells what is known."""

    code = "deployment_failed"

    def __init__(self, message: str, *, deployment: Deployment) -> None:
        super().__init__(message)
        self.deployment = deployment


class FeedbackItemError(LMaaSError):
    """One item that was given to a buffer is not stored: `item`, and why.

    `cause` is the error of the whole call, where it was that and not the item: no connection, no permission.
    """

    def __init__(
        self,
        message: str,
        *,
        item: FeedbackItem,
        code: str | None = None,
        param: str | None = None,
        cause: Exception | None = None,
    ) -> None:
        super().__init__(message)
        self.item = item
        self.code = code if cause is None else getattr(cause, "code", None)
        self.param = param
        self.cause = cause
        self.request_id = getattr(cause, "request_id", None)


class FeedbackBufferError(LMaaSError):
    """Items that were given to a buffer are not stored; `errors` has one for each, in the order they were given."""

    code = "feedback_not_stored"

    def __init__(self, errors: Sequence[FeedbackItemError], *, left: int = 0) -> None:
        self.errors = tuple(errors)
        first = self.errors[0]
        more = f", and {left:,} more are still waiting" if left else ""
        what = f"{len(self.errors):,} item{'s' * (len(self.errors) != 1)} of feedback could not be stored{more}"
        super().__init__(f"{what}; the first, {first.item.kind} on {first.item.prediction_id}: {first.message}")
