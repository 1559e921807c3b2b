"""A lane beside Flask for the few operations asked thousands of times a second. Knows WSGI and paths, no noun.

Matching a path against every rule, pushing contexts and running hooks takes Flask about as long as a small network
takes to answer. An operation marked `quick` is found here by one pattern instead and goes the gateway's same way; all
else, and all that is not exactly so (another method, an escaped path, a prefix), goes on to Flask.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Request, Response

from lmaas_server.engine.serving.steps import Steps, finished
from lmaas_server.http.operation import Answer, Operation

__all__ = ["Application", "Asked", "Lane", "Pass", "headers_of", "lane_of"]

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Pass = Callable[[Request, Mapping[str, str]], Steps[Answer | Response]]

# What a name may hold: no escape and nothing that Flask would read in another way.
_NAME = r"(?P<\1>[A-Za-z0-9._@-]+)"
_STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class Asked(Request):
    """A request of which only the environment is looked at, as a rule; the rest is read from that when it is needed."""

    def __init__(self, environ: dict[str, Any]) -> None:  # the rest of it is in `__getattr__`
        self.environ = environ

    def __getattr__(self, name: str) -> Any:
        """Read the rest, for what is not there yet."""
        if "headers" in self.__dict__:
            raise AttributeError(name)
        super().__init__(self.environ, populate_request=False)
        return getattr(self, name)


class Lane:
    """A WSGI application before another one."""

    def __init__(self, beyond: Application) -> None:
        self._beyond = beyond
        self._open: list[tuple[str, Callable[[str], re.Match[str] | None], Pass]] = []

    def __repr__(self) -> str:
        return f"Lane({len(self._open)} operations)"

    def add(self, described: Operation, pass_by: Pass) -> None:
        """Let requests of an operation go by."""
        pattern = re.compile(re.sub(r"<(\w+)>", _NAME, described.path))
        self._open.append((described.method, pattern.fullmatch, pass_by))

    def find(self, method: str, path: str) -> tuple[Pass, dict[str, str]] | None:
        """Return what answers a request past Flask, and the names in its path; None for all others."""
        for its_method, match, pass_by in self._open:
            if method == its_method and (found := match(path)) is not None:
                return pass_by, found.groupdict()
        return None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer, or pass on."""
        found = None if environ.get("SCRIPT_NAME") else self.find(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if found is None:
            return self._beyond(environ, start_response)
        pass_by, names = found
        answer = finished(pass_by(Asked(environ), names))
        if isinstance(answer, Response):
            return answer(environ, start_response)
        start_response(_STATUS[answer.status], headers_of(answer))
        return [answer.body]


def lane_of(app: Flask) -> Lane:
    """Return the lane that a gateway has laid beside an application."""
    lane: object = app.wsgi_app
    if not isinstance(lane, Lane):
        raise TypeError(f"{app!r} has no lane; a gateway lays it")
    return lane


def headers_of(answer: Answer) -> list[tuple[str, str]]:
    """Return the headers of an answer as they go over the wire."""
    return [("content-type", answer.media), ("content-length", str(len(answer.body))), *answer.headers.items()]
