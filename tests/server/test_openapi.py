"""The document of the API, and the page made from it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from openapi_spec_validator import validate

from lmaas_server.openapi import document, document_bytes

COMMITTED = Path(__file__).parents[2] / "openapi.json"


def operations():
    return [(m, p, o) for p, methods in document()["paths"].items() for m, o in methods.items()]


def test_the_committed_document_is_the_one_that_is_served(http):
    """Written by `python -m lmaas_server.openapi > openapi.json`; a difference is a change of the wire."""
    assert COMMITTED.read_bytes() == document_bytes() == http.get("/openapi.json").data


def test_it_is_valid():
    validate(document())


def test_every_route_of_the_application_is_in_it(app):
    rules = {
        (method, re.sub(r"<(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert rules == {(method.upper(), path) for method, path, _ in operations()}


@pytest.mark.parametrize(("method", "path", "operation"), operations(), ids=lambda value: str(value)[:60])
def test_every_operation_is_described(method, path, operation):
    assert operation["summary"]
    assert set(re.findall(r"{(\w+)}", path)) == {p["name"] for p in operation["parameters"] if p["in"] == "path"}
    assert all(parameter["description"] for parameter in operation["parameters"])
    assert "500" in operation["responses"]
    assert operation["security"] == [] or "401" in operation["responses"]
    keyed = any(parameter["name"] == "Idempotency-Key" for parameter in operation["parameters"])
    assert keyed == (method != "get")


def test_operations_have_names_of_their_own():
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.targets, self.foreign = set(), set(), []

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids |= {given["id"]} if "id" in given else set()
        for name in ("href", "src"):
            value = given.get(name, "")
            self.targets |= {value[1:]} if value.startswith("#") else set()
            self.foreign += [value] if "//" in value else []


def test_the_page_needs_nothing_from_elsewhere_and_its_links_lead_somewhere(http):
    page = Links()
    page.feed(http.get("/docs").text)
    assert page.foreign == []
    assert page.targets <= page.ids
    assert {operation["operationId"] for _, _, operation in operations()} <= page.ids
