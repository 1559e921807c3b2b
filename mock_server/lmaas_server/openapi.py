"""The OpenAPI 3.1 document, made from the operations and the types. Knows no Flask.

`python -m lmaas_server.openapi > openapi.json` writes the committed one, which a test holds against this.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any, Literal

import orjson
from pydantic import TypeAdapter

from lmaas.types import ErrorBody
from lmaas_server.http.errors import MEANINGS
from lmaas_server.http.operation import Operation, operations_of
from lmaas_server.http.paging import Query
from lmaas_server.http.validation import OneOf
from lmaas_server.routes import (
    base_models,
    datasets,
    deployments,
    documentation,
    explanations,
    feedback,
    health,
    jobs,
    models,
    observations,
    predictions,
    uploads,
)

__all__ = ["document", "document_bytes", "main"]

Json = dict[str, Any]
_ROUTES: tuple[type[Any], ...] = (
    datasets.DatasetRoutes,
    uploads.UploadRoutes,
    jobs.JobRoutes,
    models.ModelRoutes,
    base_models.BaseModelRoutes,
    deployments.DeploymentRoutes,
    observations.ObservationRoutes,
    predictions.PredictionRoutes,
    explanations.ExplanationRoutes,
    feedback.FeedbackRoutes,
    health.HealthRoutes,
    documentation.DocumentationRoutes,
)
_TAGS = {
    "datasets": "Files of examples, checked whole when they arrive.",
    "uploads": "Large files on their way in parts, which survive a broken connection.",
    "jobs": "Training, evaluation and update: work in the background.",
    "models": "Trained versions, `NAME@VERSION`.",
    "deployments": "Names under which versions serve predictions.",
    "predictions": "What a deployment answered, kept so that feedback needs only an id.",
    "explanations": "How much each part of a row has to do with its answer.",
    "feedback": "What a prediction should have been.",
    "health": "For those who run the server.",
    "documentation": "This document.",
}
_TEMPLATE = "#/components/schemas/{model}"
_ABOUT = """Upload data, train, evaluate, deploy, predict, give feedback, update.

Lists take `after`, `limit` and `order`. Errors always have the same four keys. Every POST, PUT, PATCH and DELETE takes
an `Idempotency-Key`: the same key and body within a day are answered from memory, with `Idempotent-Replayed: true`."""
_PATH_ABOUT = {
    "dataset": "`ds-...`",
    "upload": "`up-...`",
    "part": "Its number, from 1",
    "job": "`job-...`",
    "base_model": "Name of a base model",
    "model": "`NAME@VERSION`, `NAME@ALIAS`, or `NAME` for the newest",
    "name": "Name of a model",
    "alias": "Word that points at a version",
    "deployment": "Name of a deployment",
    "prediction": "`pred-...`",
    "feedback": "`fb-...`",
}
_BODY_ERRORS: dict[str, tuple[int, ...]] = {
    "none": (),
    "json": (400, 413, 415, 422),
    "raw": (400, 413, 415, 422),
    "upload": (400, 413, 415, 422),
    "stream": (400, 413, 415, 422),
}


def operations() -> list[Operation]:
    """Return every operation of the API, in the order of the document."""
    return [described for routes in _ROUTES for described, _ in operations_of(routes)]


def document() -> Json:
    """Return the document."""
    known = operations()
    schemas, definitions = _schemas(known)
    paths: dict[str, Json] = {}
    for described in known:
        paths.setdefault(described.openapi_path, {})[described.method.lower()] = _operation(described, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "lmaas", "version": version("lmaas"), "description": _ABOUT},
        "servers": [{"url": "http://127.0.0.1:8000", "description": "`lmaas-server` as it starts"}],
        "tags": [{"name": name, "description": about} for name, about in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(definitions.items())),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


@functools.cache
def document_bytes() -> bytes:
    """Return the document as JSON, as it is served and committed."""
    return orjson.dumps(document(), option=orjson.OPT_INDENT_2) + b"\n"


def main() -> None:
    """Write the document to standard output."""
    sys.stdout.buffer.write(document_bytes())


def _schemas(known: Iterable[Operation]) -> tuple[dict[tuple[str, Any], Json], Json]:
    """Return the schema of every body and answer, and what they refer to."""
    inputs: list[tuple[Any, Literal["validation", "serialization"], TypeAdapter[Any]]] = []
    seen: set[tuple[Any, str]] = set()
    for kind, mode in _types(known):
        if (kind, mode) not in seen:
            seen.add((kind, mode))
            inputs.append((kind, mode, TypeAdapter(kind)))
    found, top = TypeAdapter.json_schemas(inputs, ref_template=_TEMPLATE)
    return {(mode, kind): dict(schema) for (kind, mode), schema in found.items()}, top.get("$defs", {})


def _types(known: Iterable[Operation]) -> Iterator[tuple[Any, Literal["validation", "serialization"]]]:
    yield ErrorBody, "serialization"
    for described in known:
        for kind in _alternatives(described.body):
            yield kind, "validation"
        if described.answer is not None:
            yield described.answer, "serialization"


def _alternatives(body: Any) -> tuple[Any, ...]:
    if body is None:
        return ()
    return (body.absent, body.present) if isinstance(body, OneOf) else (body,)


def _operation(described: Operation, schemas: dict[tuple[str, Any], Json]) -> Json:
    lines = [line.strip() for line in described.summary.splitlines()]
    result: Json = {
        "operationId": described.name,
        "tags": [described.tag],
        "summary": lines[0].rstrip("."),
        "parameters": _parameters(described),
        "responses": _responses(described, schemas),
        "security": [] if described.is_open else [{"key": []}],
    }
    if rest := " ".join(line for line in lines[1:] if line):
        result["description"] = rest
    if described.body_kind != "none":
        result["requestBody"] = {"required": True, "content": _content(described, schemas)}
    return result


def _content(described: Operation, schemas: dict[tuple[str, Any], Json]) -> Json:
    if described.body_kind == "stream":
        return {media: {"schema": {"type": "string", "format": "binary"}} for media in described.accepts}
    kinds = [schemas["validation", kind] for kind in _alternatives(described.body)]
    schema = kinds[0] if len(kinds) == 1 else {"oneOf": kinds}
    if described.body_kind == "upload":
        return {"multipart/form-data": {"schema": _form()}}
    others: Json = {
        media: {"schema": {"type": "string", "format": "binary"}}
        for media in described.accepts
        if media != "application/json"
    }
    return {"application/json": {"schema": schema}, **others}


def _form() -> Json:
    """Return the schema of an upload; `input` and `target` are JSON in a field of the form."""
    inside = {"type": "string", "contentMediaType": "application/json"}
    return {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {
            "file": {"type": "string", "format": "binary", "description": "npz with arrays x and y, or zip of folders"},
            "name": {"type": "string", "description": "Omitted, from the file's name"},
            "format": {"type": "string", "description": "Omitted, told from the file"},
            "input": {**inside, "description": 'Like {"kind": "image"}'},
            "target": {**inside, "description": 'Like {"kind": "class"}'},
        },
    }


def _parameters(described: Operation) -> list[Json]:
    found = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"},
            "description": _PATH_ABOUT[name],
        }
        for name in described.parameters
    ]
    if described.listed:
        found += [_query(query) for query in _page_queries(described.order)]
    found += [_query(query) for query in described.query]
    if described.mutates:
        about = "Makes a repeated request safe: done once, answered again."
        found.append(_header("Idempotency-Key", about))
    if "text/event-stream" in described.gives:
        found.append(_header("Last-Event-ID", "Of a stream: the number of the last event that arrived."))
    return found


def _page_queries(order: str) -> tuple[Query, ...]:
    return (
        Query(name="after", about="Begin after this id."),
        Query(name="limit", about="How many at most; 20 if omitted.", kind="integer", low=1, high=1000),
        Query(name="order", about=f"By time; `{order}` if omitted.", choices=("asc", "desc")),
    )


def _query(query: Query) -> Json:
    schema: Json = {"type": query.kind}
    if query.kind == "integer":
        schema |= {"minimum": query.low, "maximum": query.high}
    if query.choices:
        schema["enum"] = [*query.choices]
    return {"name": query.name, "in": "query", "schema": schema, "description": query.about}


def _header(name: str, about: str) -> Json:
    return {"name": name, "in": "header", "schema": {"type": "string"}, "description": about}


def _responses(described: Operation, schemas: dict[tuple[str, Any], Json]) -> Json:
    identified = {"x-request-id": {"schema": {"type": "string"}, "description": "Names this request in the log"}}
    content: Json = {}
    for media in described.gives:
        content[media] = {"schema": {"type": "string", "format": "binary"}}
        if media == "application/json":
            content[media] = {"schema": _answer(described, schemas)}
        elif media.startswith("text/"):
            content[media] = {"schema": {"type": "string"}}
    responses: Json = {"200": {"description": "Done.", "headers": identified, "content": content}}
    error = {"application/json": {"schema": schemas["serialization", ErrorBody]}}
    for status in sorted(_errors(described)):
        responses[str(status)] = {"description": MEANINGS[status][1], "headers": identified, "content": error}
    return responses


def _errors(described: Operation) -> set[int]:
    always = {500} if described.is_open else {401, 429, 500, 503}
    conflicts = {400, 409} if described.mutates else set()
    queried = {422} if described.query or described.listed else set()
    return {*always, *conflicts, *queried, *_BODY_ERRORS[described.body_kind], *described.errors}


def _answer(described: Operation, schemas: dict[tuple[str, Any], Json]) -> Json:
    if described.answer is None:
        return {"type": "object"}
    item = schemas["serialization", described.answer]
    page: Json = {
        "type": "object",
        "required": ["object", "data", "first_id", "last_id", "has_more"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": item},
            "first_id": {"type": ["string", "null"]},
            "last_id": {"type": ["string", "null"]},
            "has_more": {"type": "boolean"},
        },
    }
    if described.listed:
        return page
    if not isinstance(described.body, OneOf):
        return item
    if described.body.partial is not None:
        page["properties"]["data"]["items"] = {"anyOf": [item, schemas["serialization", ErrorBody]]}
    return {"oneOf": [item, page]}


if __name__ == "__main__":
    main()
