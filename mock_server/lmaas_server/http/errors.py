"""The one table from what can go wrong to HTTP; knows no route."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus

import orjson
from werkzeug.exceptions import HTTPException

from lmaas_server.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    MalformedError,
    MissingError,
    RateLimitedError,
    ServiceError,
    TooLargeError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)

__all__ = ["MEANINGS", "Failure", "failure_of"]

STATUSES: dict[type[ServiceError], int] = {
    MalformedError: 400,
    UnauthenticatedError: 401,
    ForbiddenError: 403,
    MissingError: 404,
    ConflictError: 409,
    TooLargeError: 413,
    UnsupportedError: 415,
    InvalidError: 422,
    RateLimitedError: 429,
    UnavailableError: 503,
}

MEANINGS: dict[int, tuple[str, str]] = {
    400: ("invalid_request_error", "The message cannot be read."),
    401: ("authentication_error", "No key, or an unknown one."),
    403: ("permission_error", "The key may not do this."),
    404: ("not_found_error", "There is no such thing."),
    405: ("invalid_request_error", "The path does not take this method."),
    409: ("conflict_error", "The state of things forbids it."),
    413: ("invalid_request_error", "The body is over the limit."),
    415: ("invalid_request_error", "The content type or file format is not read here."),
    422: ("invalid_request_error", "Readable and wrong; `param` names the place."),
    429: ("rate_limit_error", "Too many requests for this key."),
    500: ("server_error", "A bug of the server."),
    503: ("unavailable_error", "Not now: draining, starting, or full."),
}
"""Status -> (`type` in the body, what it means)."""

_HTTP_CODES = {
    400: "malformed_request",
    404: "unknown_path",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "content_type_unsupported",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error as it goes over the wire."""

    status: int
    code: str
    message: str
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    retryable: bool = False

    @property
    def body(self) -> bytes:
        """The JSON body."""
        return orjson.dumps(self.document)

    @property
    def document(self) -> dict[str, dict[str, str | None]]:
        """The body as it is before it is JSON; all four keys are always there."""
        kind = MEANINGS.get(self.status, MEANINGS[400])[0]
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def failure_of(exc: Exception, *, method: str, path: str, request_id: str) -> Failure:
    """Translate whatever a request raised; what nobody foresaw becomes a 500 that tells nothing but its request id."""
    if isinstance(exc, ServiceError):
        return _of_service(exc)
    if isinstance(exc, HTTPException) and exc.code is not None and exc.code < HTTPStatus.INTERNAL_SERVER_ERROR:
        return _of_werkzeug(exc, exc.code, method, path)
    return Failure(
        status=500,
        code="internal_error",
        message=f"The server failed in a way nobody foresaw; its log has the details under request id {request_id}.",
    )


def _of_service(exc: ServiceError) -> Failure:
    status = next(STATUSES[kind] for kind in type(exc).__mro__ if kind in STATUSES)
    headers: dict[str, str] = {}
    if isinstance(exc, RateLimitedError | UnavailableError):
        headers = {
            "retry-after": str(max(1, round(exc.retry_after + 0.5))),
            "retry-after-ms": str(round(exc.retry_after * 1000)),
        }
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    retryable = status in {429, 503} or (isinstance(exc, ConflictError) and exc.retryable)
    if status not in {429, 503}:
        headers["x-should-retry"] = "true" if retryable else "false"
    return Failure(
        status=status, code=exc.code, message=exc.message, param=exc.param, headers=headers, retryable=retryable
    )


def _of_werkzeug(exc: HTTPException, status: int, method: str, path: str) -> Failure:
    headers = {"x-should-retry": "false"}
    message = exc.description or MEANINGS.get(status, ("", exc.name))[1]
    if status == HTTPStatus.NOT_FOUND:
        message = f"There is no {method} {path} here; GET /openapi.json lists every path, GET /docs shows them."
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(sorted(set(getattr(exc, "valid_methods", None) or ()) - {"HEAD", "OPTIONS"}))
        headers["allow"] = allowed
        message = f"{path} does not take {method}; it takes {allowed}."
    code = _HTTP_CODES.get(status, exc.name.lower().replace(" ", "_"))
    return Failure(status=status, code=code, message=message, headers=headers)
