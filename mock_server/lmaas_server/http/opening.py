"""What answers while the application is still being loaded: `/healthz` at once, all else when it is there.

Importing the application and opening its database are most of a start, and the process is alive before: who asks
whether it is waits for neither. Every other request waits, `/readyz` too, and is answered as it always is. Knows no
Flask.
"""

from __future__ import annotations

from collections.abc import Callable

from lmaas_server.http.exchange import Exchange
from lmaas_server.http.request_id import request_id_of

__all__ = ["Opening"]

_ALIVE = b'{"status":"ok"}'
"""As `routes.health` has it."""


class Opening:
    """Takes requests in the loop's thread, for what is to answer them."""

    def __init__(self) -> None:
        self._waiting: list[Exchange] = []
        self._answer: Callable[[Exchange], None] = self._early

    def __repr__(self) -> str:
        return f"Opening({len(self._waiting)} waiting)"

    def answer(self, exchange: Exchange) -> None:
        """Take a request."""
        self._answer(exchange)

    def open(self, answer: Callable[[Exchange], None]) -> None:
        """Have `answer` take all requests, those first that have waited."""
        self._answer = answer
        waiting, self._waiting = self._waiting, []
        for exchange in waiting:
            answer(exchange)

    def _early(self, exchange: Exchange) -> None:
        head = exchange.head
        if (head.method, head.path) != ("GET", "/healthz"):
            self._waiting.append(exchange)
            return
        request_id = request_id_of(head.variables.get("HTTP_X_REQUEST_ID"))
        exchange.answer(200, [("content-type", "application/json"), ("x-request-id", request_id)], _ALIVE)
