"""The description of this API: for machines, and for people without a network."""

from __future__ import annotations

from collections.abc import Callable

from lmaas_server.http.operation import Answer, Call, operation

__all__ = ["DocumentationRoutes"]


class DocumentationRoutes:
    """`/openapi.json` and `/docs`."""

    def __init__(self, document: Callable[[], bytes], page: Callable[[], bytes]) -> None:
        self._document = document
        self._page = page

    def __repr__(self) -> str:
        return "DocumentationRoutes()"

    @operation("GET", "/openapi.json", tag="documentation", is_open=True)
    def openapi(self, call: Call) -> Answer:
        """Give the OpenAPI document."""
        return Answer(body=self._document())

    @operation("GET", "/docs", tag="documentation", is_open=True, gives=("text/html",))
    def docs(self, call: Call) -> Answer:
        """Show the OpenAPI document as one page that needs no network."""
        return Answer(body=self._page(), media="text/html; charset=utf-8")
