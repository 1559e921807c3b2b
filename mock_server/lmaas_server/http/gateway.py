"""The way of every request: who asks, may they, what do they say, was it said before, the handler, the answer.

Knows Flask and operations, and no noun.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from flask import Flask, Response, g, request
from pydantic import BaseModel

from lmaas_server.errors import UnavailableError
from lmaas_server.http.auth import ANYBODY, ApiKeys
from lmaas_server.http.bodies import media_type, read_bytes, read_json
from lmaas_server.http.errors import failure_of
from lmaas_server.http.idempotency import Idempotency, fingerprint_of, request_key_of
from lmaas_server.http.limits import RateLimiter
from lmaas_server.http.metrics import Metrics
from lmaas_server.http.operation import Answer, Call, Operation, operations_of
from lmaas_server.http.paging import page_of, queries_of
from lmaas_server.http.uploads import receive

__all__ = ["Gateway", "dumped"]

logger = logging.getLogger("lmaas_server")

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
Handler = Callable[..., Any]


class Gateway:
    """Puts routes on a Flask application and does for all of them what all of them need."""

    def __init__(
        self,
        app: Flask,
        *,
        keys: ApiKeys,
        limiter: RateLimiter,
        idempotency: Idempotency,
        metrics: Metrics,
        new_temp: Callable[[], Path],
        max_body: int,
        max_upload: int,
        is_draining: Callable[[], bool],
    ) -> None:
        self._app = app
        self._keys = keys
        self._limiter = limiter
        self._idempotency = idempotency
        self._metrics = metrics
        self._new_temp = new_temp
        self._max_body = max_body
        self._max_upload = max_upload
        self._is_draining = is_draining
        app.before_request(self._begin)
        app.after_request(self._end)
        app.register_error_handler(Exception, self._failed)

    def __repr__(self) -> str:
        return f"Gateway({len(self._app.view_functions)} operations)"

    def add(self, routes: object) -> None:
        """Put every operation of `routes` on the application."""
        for described, name in operations_of(routes):
            self._app.add_url_rule(
                described.path,
                endpoint=described.name,
                view_func=self._view(described, getattr(routes, name)),
                methods=[described.method],
            )

    def _view(self, described: Operation, handler: Handler) -> Callable[..., Response]:
        def view(**parameters: str) -> Response:
            answer = self._answer(described, handler, parameters)
            return answer if isinstance(answer, Response) else _response(answer)

        return view

    def _answer(self, described: Operation, handler: Handler, parameters: Mapping[str, str]) -> Answer | Response:
        caller = ANYBODY if described.is_open else self._admit()
        with self._read(described, caller) as call:
            if call.request_key is None or described.own_replays:
                return _answered(handler(call, **parameters))
            return self._idempotency.answer(
                call.request_key, call.fingerprint, lambda: self._settled(handler, call, parameters)
            )

    def _settled(self, handler: Handler, call: Call, parameters: Mapping[str, str]) -> Answer:
        """Run the handler; a failure is an answer too, and may be stored."""
        try:
            answer = _answered(handler(call, **parameters))
        except Exception as exc:  # noqa: BLE001 - whatever it was is translated at the one table
            return self._failure(exc)
        if isinstance(answer, Response):
            raise TypeError("an operation that changes things gives a plain answer, which can be stored")
        return answer

    def _admit(self) -> str:
        caller = self._keys.caller_of(request.headers.get("Authorization"))
        allowance, refusal = self._limiter.take(caller)
        if allowance is not None:
            g.extra_headers = allowance.headers
        if refusal is not None:
            raise refusal
        if self._is_draining():
            message = "The server is stopping; try again, another one answers in a moment."
            raise UnavailableError(message, code="draining", retry_after=1.0)
        return caller

    @contextlib.contextmanager
    def _read(self, described: Operation, caller: str) -> Iterator[Call]:
        """Read query, body and idempotency key, in the way the operation asks for."""
        key = request_key_of(request, caller) if described.mutates else None
        query = queries_of(request.args, described.query, paged=described.listed)
        call = Call(
            request=request._get_current_object(),  # type: ignore[attr-defined]  # noqa: SLF001 - the documented way past the proxy
            request_id=g.request_id,
            caller=caller,
            request_key=key,
            query=query,
        )
        if described.listed:
            call = replace(call, page=page_of(request.args, order=described.order))
        match described.body_kind:
            case "json":
                body, raw = read_json(request, described.body, limit=self._max_body)
                yield replace(call, body=body, raw=raw, fingerprint=fingerprint_of(request, raw) if key else "")
            case "raw":
                media = media_type(request, allowed=described.accepts)
                raw = read_bytes(request, limit=self._max_body)
                yield replace(
                    call, raw=raw, media=media, fingerprint=fingerprint_of(request, media.encode() + raw) if key else ""
                )
            case "upload":
                with receive(request, limit=self._max_upload, new_temp=self._new_temp) as upload:
                    yield replace(call, body=upload, fingerprint=fingerprint_of(request, upload.fingerprint))
            case _:
                yield replace(call, fingerprint=fingerprint_of(request, b""))

    def _begin(self) -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _SANE_ID.fullmatch(given) else f"req-{secrets.token_hex(12)}"
        g.began = time.perf_counter()
        g.extra_headers = {}

    def _end(self, response: Response) -> Response:
        response.headers["x-request-id"] = g.request_id
        for name, value in g.extra_headers.items():
            response.headers[name] = value
        self._metrics.count(request.endpoint or "unknown", response.status_code, time.perf_counter() - g.began)
        return response

    def _failed(self, exc: Exception) -> Response:
        return _response(self._failure(exc))

    def _failure(self, exc: Exception) -> Answer:
        failure = failure_of(exc, method=request.method, path=request.path, request_id=g.request_id)
        if failure.code == "internal_error":
            logger.error("request %s %s %s failed", g.request_id, request.method, request.path, exc_info=exc)
        return Answer(body=failure.body, status=failure.status, headers=failure.headers)


def dumped(value: Any) -> bytes:
    """Return an object of `lmaas.types`, or plain data that holds such objects, as JSON."""
    if isinstance(value, BaseModel):
        return value.model_dump_json().encode()
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _answered(value: Any) -> Answer | Response:
    return value if isinstance(value, Answer | Response) else Answer(body=dumped(value))


def _response(answer: Answer) -> Response:
    response = Response(answer.body, status=answer.status, content_type=answer.media)
    for name, value in answer.headers.items():
        response.headers[name] = value
    return response
