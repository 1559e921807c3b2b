"""Datasets over HTTP."""

from __future__ import annotations

from typing import Any

import orjson

from lmaas.types import Dataset, DatasetCreate, DatasetRow, Deleted
from lmaas_server.errors import InvalidError
from lmaas_server.http.files import file_response
from lmaas_server.http.operation import Call, operation
from lmaas_server.http.paging import Query, list_of
from lmaas_server.http.uploads import Upload
from lmaas_server.http.validation import validate_json
from lmaas_server.records import DatasetRecord
from lmaas_server.services.datasets import DatasetService

__all__ = ["DatasetRoutes", "dataset_wire"]

_NAME = Query(name="name", about="Only datasets of this name.")
_TARGETS = frozenset({"class", "value", "none"})
_EXAMPLES = {"input": '{"kind": "text", "column": "body"}', "target": '{"kind": "class", "column": "label"}'}


class DatasetRoutes:
    """Endpoints of `/v1/datasets`."""

    def __init__(self, datasets: DatasetService) -> None:
        self._datasets = datasets

    def __repr__(self) -> str:
        return f"DatasetRoutes({self._datasets!r})"

    @operation(
        "POST",
        "/v1/datasets",
        tag="datasets",
        body=DatasetCreate,
        body_kind="upload",
        answer=Dataset,
        errors=(409, 413, 415, 422),
    )
    def create(self, call: Call) -> Dataset:
        """Upload a file of examples; it is checked whole, and kept or refused whole."""
        upload: Upload = call.body
        record = self._datasets.create(
            upload.path,
            _fields(upload.fields),
            filename=upload.filename,
            sha256=upload.sha256,
            size=upload.size,
            request_key=call.request_key,
        )
        return dataset_wire(record)

    @operation("GET", "/v1/datasets", tag="datasets", answer=Dataset, listed=True, query=(_NAME,), errors=(404, 422))
    def list(self, call: Call) -> dict[str, Any]:
        """List the datasets."""
        page = self._datasets.page(call.page, name=call.query.get("name"))
        return list_of([dataset_wire(record) for record in page.items], has_more=page.has_more)

    @operation("GET", "/v1/datasets/<dataset>", tag="datasets", answer=Dataset, errors=(404,))
    def retrieve(self, call: Call, dataset: str) -> Dataset:
        """Get one dataset."""
        return dataset_wire(self._datasets.get(dataset))

    @operation(
        "GET", "/v1/datasets/<dataset>/content", tag="datasets", gives=("application/octet-stream",), errors=(404,)
    )
    def content(self, call: Call, dataset: str) -> Any:
        """Get the file as it was uploaded."""
        record, path = self._datasets.content(dataset)
        return file_response(call.request, path, name=f"{record.name}.{record.format}", sha256=record.sha256)

    @operation(
        "GET",
        "/v1/datasets/<dataset>/rows",
        tag="datasets",
        answer=DatasetRow,
        listed=True,
        order="asc",
        errors=(404, 422),
    )
    def rows(self, call: Call, dataset: str) -> dict[str, Any]:
        """Look at rows of a dataset; `after` is the index of a row."""
        rows, more = self._datasets.rows(dataset, call.page)
        ids = [str(row["index"]) for row in rows]
        listed = list_of([{**row, "id": id} for row, id in zip(rows, ids, strict=True)], has_more=more)
        return {**listed, "data": rows}

    @operation("DELETE", "/v1/datasets/<dataset>", tag="datasets", answer=Deleted, errors=(404, 409))
    def delete(self, call: Call, dataset: str) -> Deleted:
        """Delete a dataset and its file; models trained on it stay."""
        self._datasets.delete(dataset)
        return Deleted(id=dataset, object="dataset", deleted=True)


def _fields(form: dict[str, str]) -> DatasetCreate:
    """Read the fields of the form; `input` and `target` hold JSON, or a kind, and `target` also a column's name."""
    fields: dict[str, Any] = dict(form)
    for name in {"input", "target"} & fields.keys():
        try:
            fields[name] = orjson.loads(fields[name])
        except orjson.JSONDecodeError as exc:
            if fields[name].lstrip().startswith(("{", "[", '"')):
                message = f"The field `{name}` holds JSON, like {_EXAMPLES[name]}, or one word: {exc}."
                raise InvalidError(message, code="invalid_value", param=name) from exc
            word = "column" if name == "target" and fields[name] not in _TARGETS else "kind"
            fields[name] = {word: fields[name]}
    checked: DatasetCreate = validate_json(DatasetCreate, orjson.dumps(fields))
    return checked


def dataset_wire(record: DatasetRecord) -> Dataset:
    """Return a dataset as it goes out."""
    return Dataset.model_validate(
        {
            "id": record.id,
            "name": record.name,
            "format": record.format,
            "bytes": record.bytes,
            "sha256": record.sha256,
            "rows": record.rows,
            "input": record.input,
            "target": record.target,
            "created_at": record.created_at,
        }
    )
