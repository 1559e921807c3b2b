"""An outcome becomes a typed value or an error, by a table; knows no endpoint and no transport."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lmaas._hints import retry_after
from lmaas._request import Answer, Request, Slice, TransportError, Upload
from lmaas.errors import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    RateLimitError,
    SentRequest,
    UnprocessableEntityError,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

ValueT = TypeVar("ValueT", bound="BaseModel")

ERRORS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: PayloadTooLargeError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}
FIRST_FAILURE = 300
FIRST_SERVER_ERROR = 500
EXCERPT = 200


def sent(request: Request, url: str) -> SentRequest:
    """Return the request as errors remember it."""
    body = request.body
    shown = f"@{body.filename}" if isinstance(body, Upload) else "@part" if isinstance(body, Slice) else body
    headers = {**request.headers, **request.options.get("extra_headers", {})}
    return SentRequest.of(request.method, url or request.path, headers, shown)


def answered(outcome: Answer | TransportError, request: Request) -> Answer:
    """Return the answer if it is a success; raise the error it stands for if not."""
    if isinstance(outcome, TransportError):
        kind = APITimeoutError if outcome.kind in {"timeout", "deadline"} else APIConnectionError
        message = f"{request.method} {request.path}: {outcome.message}"
        raise kind(message, request=sent(request, outcome.url)) from outcome.cause
    if outcome.status >= FIRST_FAILURE:
        raise status_error(outcome, request)
    return outcome


def status_error(answer: Answer, request: Request) -> APIStatusError:
    """Return the error an answer stands for; a body that is not ours is quoted."""
    kind = ERRORS.get(answer.status)
    if kind is None:
        kind = InternalServerError if answer.status >= FIRST_SERVER_ERROR else APIStatusError
    detail = _detail(answer.body)
    excerpt = answer.body[:EXCERPT].decode("utf-8", "replace").strip() or "an empty body"
    return kind(
        _text(detail.get("message")) or f"the server answered {answer.status} with: {excerpt}",
        status=answer.status,
        code=_text(detail.get("code")),
        type=_text(detail.get("type")),
        param=_text(detail.get("param")),
        request_id=answer.headers.get("x-request-id"),
        retry_after=retry_after(answer),
        headers=answer.headers,
        body=answer.body,
        request=sent(request, answer.url),
    )


def _detail(body: bytes) -> dict[str, Any]:
    try:
        document: Any = json.loads(body)
        detail = document["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return cast("dict[str, Any]", detail) if isinstance(detail, dict) else {"message": detail}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def decode(answer: Answer, request: Request, kind: type[ValueT]) -> ValueT:
    """Return the body of a success as `kind`.

    Raises:
        APIResponseValidationError: The body is something else; the error holds it.
    """
    from pydantic import ValidationError

    try:
        return kind.model_validate_json(answer.body)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        raise APIResponseValidationError(
            f"{request.method} {request.path}: the answer is no {kind.__name__}: {place}: {first['msg']}",
            status=answer.status,
            body=answer.body,
            request_id=answer.headers.get("x-request-id"),
            request=sent(request, answer.url),
        ) from exc
