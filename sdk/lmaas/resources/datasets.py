"""Datasets: files of examples, uploaded and looked at. Knows no training and no transport."""

from __future__ import annotations

from typing import Any, Generic, Literal, Unpack

from lmaas import types
from lmaas._decode import answered, decode, sent
from lmaas._encode import checked
from lmaas._examples import Examples, has_columns, to_upload
from lmaas._flow import DriverT, Raw, Resource, call, call_bytes, endpoint
from lmaas._listing import Listing, list_query, listing
from lmaas._records import is_frame, is_numeric
from lmaas._request import CallOptions, Flow, Progress, Query, Request, query_of
from lmaas.errors import ChecksumError
from lmaas.resources._ids import ANY_CONTENT, DatasetRef, id_of, segment
from lmaas.resources._parts import PARTS_ABOVE, in_parts

KINDS = frozenset({"class", "none", "text", "value"})
"""Words for `target=` that say what targets are; any other names the column that holds them."""


def upload(
    file: Examples,
    *,
    name: str | None,
    format: str | None,
    input: types.InputSpec | dict[str, Any] | str | None,
    target: types.TargetSpec | dict[str, Any] | str | None,
    on_progress: Progress | None,
    options: CallOptions,
) -> Flow[types.Dataset]:
    """Send examples in any form and return the dataset the server made of them, its checksum compared."""
    column = target if isinstance(target, str) and (has_columns(file) or target not in KINDS) else None
    spec = {"column": column} if column is not None else target
    message = checked(types.DatasetCreate, name=name, format=format, input=input, target=spec)
    named = not isinstance(target, str | None) or message.input is not None
    if column is not None and is_frame(file) and not named and is_numeric(file, column):
        message = message.model_copy(update={"target": None})  # it travels as arrays, which have no columns
    fields: Query = query_of(name=message.name, format=message.format)
    fields += tuple(
        (field, part.model_dump_json(exclude_none=True))
        for field, part in (("input", message.input), ("target", message.target))
        if part is not None
    )
    in_file = None if column is not None and not has_columns(file) else column
    body = to_upload(file, column=in_file, named=named, fields=fields, on_progress=on_progress)
    if body.size > PARTS_ABOVE:
        return (yield from in_parts(body, message, options=options))
    request = Request("POST", "/v1/datasets", body=body, options=options)
    answer = answered((yield request), request)
    dataset = decode(answer, request, types.Dataset)
    if answer.uploaded is not None and dataset.sha256 != answer.uploaded:
        yield Request("DELETE", f"/v1/datasets/{segment(dataset.id)}")
        raise ChecksumError(
            f"{body.filename} was sent with sha256 {answer.uploaded}, and the server has {dataset.sha256}",
            request=sent(request, answer.url),
        )
    return dataset


def dataset_id(
    dataset: DatasetRef | Examples,
    *,
    target: types.TargetSpec | dict[str, Any] | str | None,
    input: types.InputSpec | dict[str, Any] | str | None,
    on_progress: Progress | None,
    options: CallOptions,
) -> Flow[str]:
    """Return the id of a dataset; examples in any other form are uploaded first."""
    if isinstance(dataset, types.Dataset):
        return dataset.id
    if isinstance(dataset, str) and dataset.startswith("ds-"):
        return dataset
    made = yield from upload(
        dataset, name=None, format=None, input=input, target=target, on_progress=on_progress, options=options
    )
    return made.id


class Datasets(Resource[DriverT], Generic[DriverT]):
    """Files of examples the server has checked and keeps."""

    @property
    def with_raw_response(self) -> Datasets[Raw[DriverT]]:
        """The same methods, giving status, headers and body beside the value."""
        return Datasets(self.core.as_raw())

    @endpoint
    def create(
        self,
        file: Examples,
        *,
        name: str | None = None,
        format: Literal["npz", "csv", "jsonl", "parquet", "zip", "txt"] | None = None,
        input: types.InputSpec | dict[str, Any] | str | None = None,
        target: types.TargetSpec | dict[str, Any] | str | None = None,
        on_progress: Progress | None = None,
        **options: Unpack[CallOptions],
    ) -> Flow[types.Dataset]:
        """Upload examples; a file is read from disk as it is sent, and its checksum compared with the server's.

        Above 64 MiB a file goes in parts, four at a time: a broken connection costs a part, not the file. What still
        fails goes on where it stopped when the call is made again with the same `idempotency_key` (within a day).

        Args:
            file: A path, bytes, (x, y) of n rows each (arrays, or texts or dicts for x), a data frame with `target=`,
                or a list of (x, y) rows or of dicts by column. A frame whose columns all hold numbers is sent as an
                array, unless `input` says otherwise; any other keeps its columns.
            name: What people call it; omitted, the server makes a name.
            format: Of a file; omitted, told from its name and first bytes.
            input: What the inputs are, such as `TensorInput(normalize="none")` or just "image".
            target: What the targets are, such as "class"; or the name of the column that holds them;
                `TargetSpec(column=("low", "high"))` for several values, `separator=` for several classes in one cell.
            on_progress: Called with the bytes sent so far and the bytes there are, after each block.
            **options: extra_headers, timeout, idempotency_key.

        Raises:
            InvalidRequestError: These are no examples; nothing was sent.
            UnprocessableEntityError: The server found a bad row; the message names it.
            ChecksumError: The server received other bytes than were sent.
        """
        return upload(
            file, name=name, format=format, input=input, target=target, on_progress=on_progress, options=options
        )

    @listing
    def list(
        self,
        *,
        name: str | None = None,
        after: str | None = None,
        limit: int | None = None,
        order: Literal["asc", "desc"] | None = None,
        **options: Unpack[CallOptions],
    ) -> Listing[types.Dataset]:
        """List all datasets, newest first, `limit` to a page."""
        query = list_query(after=after, limit=limit, order=order, name=name)
        return Listing("/v1/datasets", types.Page[types.Dataset], query, options)

    @endpoint
    def retrieve(self, dataset: DatasetRef, **options: Unpack[CallOptions]) -> Flow[types.Dataset]:
        """Return the dataset as it is now."""
        return call(Request("GET", _path(dataset), options=options), types.Dataset)

    @endpoint
    def delete(self, dataset: DatasetRef, **options: Unpack[CallOptions]) -> Flow[types.Deleted]:
        """Delete the dataset and its file; models trained on it stay."""
        return call(Request("DELETE", _path(dataset), options=options), types.Deleted)

    @endpoint
    def content(self, dataset: DatasetRef, **options: Unpack[CallOptions]) -> Flow[bytes]:
        """Return the file as it was uploaded."""
        return call_bytes(Request("GET", f"{_path(dataset)}/content", headers=ANY_CONTENT, options=options))

    @endpoint
    def rows(
        self, dataset: DatasetRef, *, limit: int | None = None, **options: Unpack[CallOptions]
    ) -> Flow[tuple[types.DatasetRow, ...]]:
        """Return the first `limit` examples (20 if omitted), to look at."""
        query = list_query(after=None, limit=limit, order=None)
        page = yield from call(
            Request("GET", f"{_path(dataset)}/rows", query, options=options), types.Page[types.DatasetRow]
        )
        return tuple(page.data)


def _path(dataset: DatasetRef) -> str:
    return f"/v1/datasets/{segment(id_of(dataset))}"
