"""The ceiling of the prediction path: a Flask route on granian that reads a JSON body, and nothing behind it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import orjson
from flask import Flask, Response, request
from granian import Granian
from granian.constants import Interfaces

ANSWER = {"outputs": [{"label": 7, "score": 0.98}]}


def application() -> Callable[..., Any]:
    """Return the application: no key, no check, no log."""
    app = Flask("bare", static_folder=None)

    @app.post("/v1/deployments/<deployment>/predictions")
    def predict(deployment: str) -> Response:
        rows = orjson.loads(request.get_data())["inputs"]
        return Response(
            orjson.dumps({"deployment": deployment, "rows": len(rows), **ANSWER}), mimetype="application/json"
        )

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    return app.wsgi_app


def main(port: int) -> None:
    """Serve until told to stop, with one thread: the best of 1, 4 and 16."""
    granian = Granian(
        "bare", port=port, interface=Interfaces.WSGI, workers=1, blocking_threads=1, backpressure=256, log_enabled=False
    )
    granian.serve(target_loader=application, wrap_loader=False)


if __name__ == "__main__":
    main(int(sys.argv[1]))
