"""Is it alive, is it ready, what does it count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lmaas_server.errors import UnavailableError
from lmaas_server.http.metrics import Metrics
from lmaas_server.http.operation import Answer, Call, operation

__all__ = ["HealthRoutes"]


class HealthRoutes:
    """`/healthz`, `/readyz` and `/metrics`."""

    def __init__(self, metrics: Metrics, *, not_ready: Callable[[], str | None]) -> None:
        self._metrics = metrics
        self._not_ready = not_ready

    def __repr__(self) -> str:
        return f"HealthRoutes({self._metrics!r})"

    @operation("GET", "/healthz", tag="health", is_open=True)
    def alive(self, call: Call) -> dict[str, Any]:
        """Tell that the process answers.

        It does while it is still being loaded; whatever else is asked waits for that.
        """
        return {"status": "ok"}

    @operation("GET", "/readyz", tag="health", is_open=True, errors=(503,))
    def ready(self, call: Call) -> dict[str, Any]:
        """Tell whether requests are welcome: the database answers and the server is not stopping."""
        if (reason := self._not_ready()) is not None:
            raise UnavailableError(reason, code="not_ready")
        return {"status": "ready"}

    @operation("GET", "/metrics", tag="health", gives=("text/plain",))
    def metrics(self, call: Call) -> Answer:
        """Give the counts in the text format of Prometheus."""
        text, media = self._metrics.text()
        return Answer(body=text, media=media)
