"""The way of every request: who asks, may they, what do they say, was it said before, the handler, the answer.

Knows Flask and operations, and no noun. A request comes through Flask, or past it where its operation is `quick`: the
way is the same, and nothing on it asks Flask which request is at hand. What is to happen to every request belongs into
`begin`, `answer` and `end`; Flask's own hooks would miss the quick ones.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from flask import Flask, Request, Response, g, request
from pydantic import BaseModel

from lmaas_server.engine.serving.steps import Steps, finished
from lmaas_server.errors import UnavailableError
from lmaas_server.http.auth import ANYBODY, ApiKeys
from lmaas_server.http.bodies import media_type, read_bytes, read_json, stream_blocks
from lmaas_server.http.errors import failure_of
from lmaas_server.http.idempotency import Idempotency, fingerprint_of, request_key_of
from lmaas_server.http.lane import Lane, Pass
from lmaas_server.http.limits import RateLimiter
from lmaas_server.http.metrics import Metrics
from lmaas_server.http.operation import Answer, Call, Operation, operations_of
from lmaas_server.http.paging import page_of, queries_of
from lmaas_server.http.request_id import request_id_of
from lmaas_server.http.uploads import receive
from lmaas_server.records import PageRequest

__all__ = ["Exchange", "Gateway", "dumped"]

logger = logging.getLogger("lmaas_server")

_ANY_PAGE = PageRequest()
Handler = Callable[..., Any]


# Made for every prediction: freezing it would triple what that takes.
@dataclass(slots=True)
class Exchange:
    """One request on its way, and the headers its answer will have whatever it is."""

    request: Request
    request_id: str
    began: float
    headers: dict[str, str] = field(default_factory=dict)


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
        self._lane = Lane(app.wsgi_app)
        app.wsgi_app = self._lane  # type: ignore[method-assign] # the documented place for what stands before Flask

    def __repr__(self) -> str:
        return f"Gateway({len(self._app.view_functions)} operations)"

    def add(self, routes: object) -> None:
        """Put every operation of `routes` on the application."""
        for described, name in operations_of(routes):
            handler = getattr(routes, name)
            self._app.add_url_rule(
                described.path,
                endpoint=described.name,
                view_func=self._view(described, handler),
                methods=[described.method],
            )
            if described.quick:
                self._lane.add(described, self._passer(described, handler))

    def begin(self, request: Request) -> Exchange:
        """Give a request its id."""
        return Exchange(request, request_id_of(request.environ.get("HTTP_X_REQUEST_ID")), time.perf_counter())

    def answer(
        self, exchange: Exchange, described: Operation, handler: Handler, parameters: Mapping[str, str]
    ) -> Steps[Answer | Response]:
        """Admit, read and do what is asked; only a quick operation stops on its way.

        Raises:
            Exception: Whatever was wrong; `failure` has the answer to it.
        """
        caller = ANYBODY if described.is_open else self._admit(exchange)
        made = self._heard(exchange, described, caller)
        if described.body_kind == "upload":
            with receive(exchange.request, limit=self._max_upload, new_temp=self._new_temp) as upload:
                fingerprint = fingerprint_of(exchange.request, upload.fingerprint)
                call = made(body=upload, fingerprint=fingerprint)
                return (yield from self._done(exchange, described, handler, call, parameters))
        call = self._read(exchange.request, described, made)
        return (yield from self._done(exchange, described, handler, call, parameters))

    def failure(self, exchange: Exchange, exc: Exception) -> Answer:
        """Return the answer to a request that failed."""
        method, path = exchange.request.method, exchange.request.path
        failure = failure_of(exc, method=method, path=path, request_id=exchange.request_id)
        if failure.code == "internal_error":
            logger.error("request %s %s %s failed", exchange.request_id, method, path, exc_info=exc)
        return Answer(body=failure.body, status=failure.status, headers=failure.headers)

    def end(self, exchange: Exchange, operation: str, status: int) -> dict[str, str]:
        """Count a request that was answered; return the headers that every answer has."""
        self._metrics.count(operation, status, time.perf_counter() - exchange.began)
        return {"x-request-id": exchange.request_id, **exchange.headers}

    def _view(self, described: Operation, handler: Handler) -> Callable[..., Response]:
        def view(**parameters: str) -> Response:
            return _response(finished(self.answer(g.exchange, described, handler, parameters)))

        return view

    def _passer(self, described: Operation, handler: Handler) -> Pass:
        def pass_by(request: Request, parameters: Mapping[str, str]) -> Steps[Answer | Response]:
            exchange = self.begin(request)
            try:
                answer = yield from self.answer(exchange, described, handler, parameters)
            except Exception as exc:  # noqa: BLE001 - whatever it was is translated at the one table
                answer = self.failure(exchange, exc)
            if isinstance(answer, Response):
                answer.headers.update(self.end(exchange, described.name, answer.status_code))
                return answer
            answer.headers.update(self.end(exchange, described.name, answer.status))
            return answer

        return pass_by

    def _settled(self, exchange: Exchange, handler: Handler, call: Call, parameters: Mapping[str, str]) -> Answer:
        """Run the handler; a failure is an answer too, and may be stored."""
        try:
            answer = _answered(handler(call, **parameters))
        except Exception as exc:  # noqa: BLE001 - whatever it was is translated at the one table
            return self.failure(exchange, exc)
        if isinstance(answer, Response):
            raise TypeError("an operation that changes things gives a plain answer, which can be stored")
        return answer

    def _admit(self, exchange: Exchange) -> str:
        caller = self._keys.caller_of(exchange.request.environ.get("HTTP_AUTHORIZATION"))
        allowance, refusal = self._limiter.take(caller)
        if allowance is not None:
            exchange.headers.update(allowance.headers)
        if refusal is not None:
            raise refusal
        if self._is_draining():
            message = "The server is stopping; try again, another one answers in a moment."
            raise UnavailableError(message, code="draining", retry_after=1.0)
        return caller

    def _done(
        self, exchange: Exchange, described: Operation, handler: Handler, call: Call, parameters: Mapping[str, str]
    ) -> Steps[Answer | Response]:
        """Do what was asked, once for each idempotency key."""
        if described.quick:
            return _answered((yield from handler(call, **parameters)))
        if call.request_key is None or described.own_replays:
            return _answered(handler(call, **parameters))
        return self._idempotency.answer(
            call.request_key, call.fingerprint, lambda: self._settled(exchange, handler, call, parameters)
        )

    def _heard(self, exchange: Exchange, described: Operation, caller: str) -> partial[Call]:
        """Read query and idempotency key; return what makes a call of them and the body."""
        request, environ = exchange.request, exchange.request.environ
        return partial(
            Call,
            request=request,
            request_id=exchange.request_id,
            caller=caller,
            request_key=request_key_of(request, caller) if described.mutates else None,
            query=queries_of(request.args, described.query, paged=described.listed) if environ["QUERY_STRING"] else {},
            accept=environ.get("HTTP_ACCEPT", ""),
            page=page_of(request.args, order=described.order) if described.listed else _ANY_PAGE,
        )

    def _read(self, request: Request, described: Operation, made: partial[Call]) -> Call:
        """Read the body in the way the operation asks for."""
        key = made.keywords["request_key"]
        match described.body_kind:
            case "json":
                body, raw = read_json(request, described.body, limit=self._max_body)
                return made(body=body, raw=raw, fingerprint=fingerprint_of(request, raw) if key else "")
            case "raw":
                media = media_type(request, allowed=described.accepts)
                raw = read_bytes(request, limit=self._max_body)
                fingerprint = fingerprint_of(request, media.encode() + raw) if key else ""
                return made(raw=raw, media=media, fingerprint=fingerprint)
            case "stream":
                media = media_type(request, allowed=described.accepts)
                return made(body=stream_blocks(request, limit=self._max_upload), media=media)
            case _:
                return made(fingerprint=fingerprint_of(request, b""))

    def _begin(self) -> None:
        g.exchange = self.begin(request._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001 - the documented way past the proxy

    def _end(self, response: Response) -> Response:
        headers = self.end(g.exchange, request.endpoint or "unknown", response.status_code)
        for name, value in headers.items():
            response.headers[name] = value
        return response

    def _failed(self, exc: Exception) -> Response:
        return _response(self.failure(g.exchange, exc))


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


def _response(answer: Answer | Response) -> Response:
    if isinstance(answer, Response):
        return answer
    response = Response(answer.body, status=answer.status, content_type=answer.media)
    for name, value in answer.headers.items():
        response.headers[name] = value
    return response
