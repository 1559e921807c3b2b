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

from flask import Request, Response

from lmaas_server.http.operation import Answer, Operation

__all__ = ["Lane"]

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Pass = Callable[[Request, Mapping[str, str]], Answer | Response]

# What a name may hold: no escape and nothing that Flask would read in another way.
_NAME = r"(?P<\1>[A-Za-z0-9._@-]+)"
_STATUS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


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

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer, or pass on."""
        for method, match, pass_by in self._open:
            if environ["REQUEST_METHOD"] != method or environ.get("SCRIPT_NAME"):
                continue
            if (found := match(environ["PATH_INFO"])) is not None:
                answer = pass_by(Request(environ, populate_request=False), found.groupdict())
                if isinstance(answer, Response):
                    return answer(environ, start_response)
                return _sent(answer, start_response)
        return self._beyond(environ, start_response)


def _sent(answer: Answer, start_response: Callable[..., Any]) -> Iterable[bytes]:
    headers = [("content-type", answer.media), ("content-length", str(len(answer.body))), *answer.headers.items()]
    start_response(_STATUS[answer.status], headers)
    return [answer.body]
