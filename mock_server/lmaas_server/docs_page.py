"""The OpenAPI document as one page for people: no script from elsewhere, no font, no network. Knows no Flask."""

from __future__ import annotations

import functools
import re
from html import escape
from typing import Any

from lmaas_server.openapi import document

__all__ = ["page_bytes"]

Json = dict[str, Any]
_CODE = re.compile(r"`([^`]+)`")
_STYLE = """
:root { color-scheme: light dark; --line: #8883; --soft: #8881; --dim: #777; --link: #0b66c3; }
@media (prefers-color-scheme: dark) { :root { --link: #6cb2ff; --dim: #999; } }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; display: grid; grid-template-columns: 17rem minmax(0, 1fr); }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 1.2rem; border-right: 1px solid var(--line); }
nav h2 { font-size: .8rem; margin: 1.1rem 0 .2rem; text-transform: uppercase; color: var(--dim); }
nav a { display: block; padding: .1rem 0; font-size: .87rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
main { padding: 1.5rem 2.5rem 6rem; max-width: 62rem; }
h1 { margin: 0 0 .3rem; } main > h2 { margin: 2.6rem 0 .2rem; padding-top: .6rem; border-top: 2px solid var(--line); }
details.operation { border: 1px solid var(--line); border-radius: 8px; margin: .6rem 0; }
details.operation > summary { display: flex; gap: .8rem; align-items: baseline; padding: .5rem .8rem; cursor: pointer; }
details.operation[open] > summary { border-bottom: 1px solid var(--line); background: var(--soft); }
.inside { padding: .4rem 1rem 1rem; }
.method { font: 700 .75rem ui-monospace, monospace; width: 4.2rem; text-align: center; }
.method { border-radius: 4px; color: #fff; }
.get { background: #1a7f4b; } .post { background: #0b66c3; } .put, .patch { background: #a15c00; }
.delete { background: #b3261e; }
.path { font: .9rem ui-monospace, monospace; } .about { color: var(--dim); margin-left: auto; text-align: right; }
table { border-collapse: collapse; width: 100%; margin: .3rem 0 .8rem; font-size: .9rem; }
th { text-align: left; font-weight: 600; color: var(--dim); }
td, th { padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
code { font: .88em ui-monospace, monospace; background: var(--soft); padding: .05rem .25rem; border-radius: 3px; }
h4 { margin: .9rem 0 .1rem; } .need { color: #b3261e; }
@media (max-width: 52rem) {
  body { display: block; } nav, .about { display: none; } main { padding: 1rem; }
}
"""


@functools.cache
def page_bytes() -> bytes:
    """Return the page."""
    described = document()
    operations = _by_tag(described)
    info = described["info"]
    menu = "".join(_menu(tag["name"], operations.get(tag["name"], [])) for tag in described["tags"])
    body = "".join(_section(tag, operations.get(tag["name"], [])) for tag in described["tags"])
    types = "".join(_type(name, schema) for name, schema in described["components"]["schemas"].items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(info["title"])} {escape(info["version"])}</title><style>{_STYLE}</style></head>
<body><nav><strong>{escape(info["title"])}</strong> {escape(info["version"])}{menu}
<h2>More</h2><a href="#types">Types</a><a href="/openapi.json">openapi.json</a></nav>
<main><h1>{escape(info["title"])}</h1>{_paragraphs(info["description"])}{body}
<h2 id="types">Types</h2>{types}</main></body></html>
""".encode()


def _by_tag(described: Json) -> dict[str, list[tuple[str, str, Json]]]:
    found: dict[str, list[tuple[str, str, Json]]] = {}
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            found.setdefault(operation["tags"][0], []).append((method, path, operation))
    return found


def _menu(tag: str, operations: list[tuple[str, str, Json]]) -> str:
    links = "".join(
        f'<a href="#{operation["operationId"]}" title="{method.upper()} {escape(path)}">'
        f"{_text(operation['summary'])}</a>"
        for method, path, operation in operations
    )
    return f"<h2>{escape(tag)}</h2>{links}"


def _section(tag: Json, operations: list[tuple[str, str, Json]]) -> str:
    inside = "".join(_operation(*operation) for operation in operations)
    name = escape(tag["name"])
    return f'<h2 id="{name}">{name.capitalize()}</h2>{_paragraphs(tag["description"])}{inside}'


def _operation(method: str, path: str, operation: Json) -> str:
    about = _paragraphs(f"{operation['summary']}.") + _paragraphs(operation.get("description", ""))
    return (
        f'<details class="operation" id="{operation["operationId"]}"><summary>'
        f'<span class="method {method}">{method.upper()}</span><span class="path">{escape(path)}</span>'
        f'<span class="about">{_text(operation["summary"])}</span></summary><div class="inside">{about}'
        f"{_parameters(operation['parameters'])}{_body(operation)}{_answers(operation['responses'])}</div></details>"
    )


def _parameters(parameters: list[Json]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code>{_need(p.get('required', False))}</td><td>{p['in']}</td>"
        f"<td>{_kind(p['schema'])}</td><td>{_text(p['description'])}</td></tr>"
        for p in parameters
    )
    return f"<h4>Parameters</h4><table><tr><th>name<th>in<th>type<th></tr>{rows}</table>"


def _body(operation: Json) -> str:
    content: Json = operation.get("requestBody", {}).get("content", {})
    rows = "".join(
        f"<tr><td><code>{escape(media)}</code></td><td>{_kind(entry['schema'])}{_fields(entry['schema'])}</td></tr>"
        for media, entry in content.items()
    )
    return f"<h4>Body</h4><table>{rows}</table>" if rows else ""


def _answers(responses: Json) -> str:
    rows = []
    for status, answer in responses.items():
        kinds = "<br>".join(
            f"<code>{escape(media)}</code> {_kind(entry['schema'])}" for media, entry in answer["content"].items()
        )
        rows.append(f"<tr><td>{status}</td><td>{_text(answer['description'])}</td><td>{kinds}</td></tr>")
    return f"<h4>Answers</h4><table>{''.join(rows)}</table>"


def _type(name: str, schema: Json) -> str:
    return (
        f'<details class="operation" id="type-{escape(name)}">'
        f'<summary><span class="path">{escape(name)}</span></summary>'
        f'<div class="inside">{_paragraphs(schema.get("description", ""))}{_fields(schema)}</div></details>'
    )


def _fields(schema: Json) -> str:
    properties: Json = schema.get("properties", {})
    required = set(schema.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{_need(name in required)}</td><td>{_kind(field)}</td>"
        f"<td>{_text(field.get('description', ''))}{_default(field)}</td></tr>"
        for name, field in properties.items()
    )
    return f"<table>{rows}</table>" if rows else ""


def _kind(schema: Json) -> str:  # noqa: PLR0911 - one case a line
    """Say a schema in a few words, with links to the types it names."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f'<a href="#type-{escape(name)}">{escape(name)}</a>'
    for joined in ("anyOf", "oneOf"):
        if joined in schema:
            return " or ".join(_kind(option) for option in schema[joined])
    if "enum" in schema:
        return " | ".join(f"<code>{escape(str(word))}</code>" for word in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if schema.get("properties", {}).get("data", {}).get("type") == "array":
        return f"page of {_kind(schema['properties']['data']['items'])}"
    kinds = schema.get("type", "anything")
    return escape(kinds if isinstance(kinds, str) else " or ".join(kinds)) + _bounds(schema)


def _bounds(schema: Json) -> str:
    words = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {schema[word]}" for word, sign in words.items() if word in schema]
    return f" {escape(', '.join(found))}" if found else ""


def _default(field: Json) -> str:
    if "default" not in field or field["default"] is None:
        return ""
    return f" Default <code>{escape(str(field['default']))}</code>."


def _need(required: bool) -> str:
    return ' <span class="need" title="required">*</span>' if required else ""


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{_text(part)}</p>" for part in text.split("\n\n") if part.strip())


def _text(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))
