"""lmaas: a typed client for Large Models as a Service.

    from lmaas import LMaaS

    with LMaaS() as client:
        job = client.train("digits.npz", name="digits")
        model = client.jobs.wait(job, progress=True).model

Names are loaded when they are first used (PEP 562): `import lmaas` alone loads neither pydantic nor httpx.
"""

from importlib import import_module

from lmaas._version import __version__

TYPE_CHECKING = False  # type checkers take it as true; importing `typing` for it would cost 10 ms
if TYPE_CHECKING:
    from lmaas import types
    from lmaas._flow import RawResponse
    from lmaas._listing import AsyncItems, Items
    from lmaas._request import CallOptions
    from lmaas._stream import AsyncStream, Stream
    from lmaas.client import AsyncLMaaS, LMaaS
    from lmaas.errors import (
        APIConnectionError,
        APIError,
        APIResponseValidationError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        ChecksumError,
        ConflictError,
        DeploymentFailedError,
        FeedbackBufferError,
        FeedbackItemError,
        InternalServerError,
        InvalidRequestError,
        JobFailedError,
        JobTimeoutError,
        LMaaSError,
        NotFoundError,
        PayloadTooLargeError,
        PermissionDeniedError,
        RateLimitError,
        UnprocessableEntityError,
    )
    from lmaas.resources._async_buffer import AsyncFeedbackBuffer
    from lmaas.resources._buffer import FeedbackBuffer

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncFeedbackBuffer",
    "AsyncItems",
    "AsyncLMaaS",
    "AsyncStream",
    "AuthenticationError",
    "BadRequestError",
    "CallOptions",
    "ChecksumError",
    "ConflictError",
    "DeploymentFailedError",
    "FeedbackBuffer",
    "FeedbackBufferError",
    "FeedbackItemError",
    "InternalServerError",
    "InvalidRequestError",
    "Items",
    "JobFailedError",
    "JobTimeoutError",
    "LMaaS",
    "LMaaSError",
    "NotFoundError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "RateLimitError",
    "RawResponse",
    "Stream",
    "UnprocessableEntityError",
    "__version__",
    "types",
]

_HOMES = {
    "AsyncFeedbackBuffer": "lmaas.resources._async_buffer",
    "AsyncItems": "lmaas._listing",
    "AsyncLMaaS": "lmaas.client",
    "AsyncStream": "lmaas._stream",
    "CallOptions": "lmaas._request",
    "FeedbackBuffer": "lmaas.resources._buffer",
    "Items": "lmaas._listing",
    "LMaaS": "lmaas.client",
    "RawResponse": "lmaas._flow",
    "Stream": "lmaas._stream",
}
"""Where names live that are not in `lmaas.errors`."""


def __getattr__(name: str) -> object:
    if name == "types":
        return import_module("lmaas.types")
    if name not in __all__:
        raise AttributeError(f"module 'lmaas' has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES.get(name, "lmaas.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
