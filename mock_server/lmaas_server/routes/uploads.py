"""Uploads in parts over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lmaas.types import Dataset, Deleted, UploadComplete, UploadCreate, UploadPart, UploadSession
from lmaas_server.http.operation import Call, operation
from lmaas_server.http.paging import Query
from lmaas_server.routes.datasets import dataset_wire
from lmaas_server.services.uploads import UploadService
from lmaas_server.storage.uploads import Arrived, UploadRecord

__all__ = ["UploadRoutes"]

_SHA256 = Query(name="sha256", about="Of the part's bytes: 64 hex digits in lower case. This or `sha256_so_far`.")
_SO_FAR = Query(name="sha256_so_far", about="Of the file up to the end of the part, in the place of `sha256`.")


class UploadRoutes:
    """Endpoints of `/v1/uploads`."""

    def __init__(self, uploads: UploadService) -> None:
        self._uploads = uploads

    def __repr__(self) -> str:
        return f"UploadRoutes({self._uploads!r})"

    @operation("POST", "/v1/uploads", tag="uploads", body=UploadCreate, answer=UploadSession, errors=(409, 413))
    def create(self, call: Call) -> UploadSession:
        """Announce a file to be sent in parts; the answer says how large they are.

        The same `Idempotency-Key` finds the same upload again, whose missing parts can then be sent.
        """
        record = self._uploads.create(call.body, request_key=call.request_key)
        return _wire(record, [])

    @operation("GET", "/v1/uploads/<upload>", tag="uploads", answer=UploadSession, errors=(404,))
    def retrieve(self, call: Call, upload: str) -> UploadSession:
        """Get an upload and the parts that have arrived."""
        return _wire(*self._uploads.get(upload))

    @operation(
        "PUT",
        "/v1/uploads/<upload>/parts/<part>",
        tag="uploads",
        body_kind="stream",
        accepts=("application/octet-stream",),
        query=(_SHA256, _SO_FAR),
        answer=UploadPart,
        errors=(404, 409, 422),
        own_replays=True,  # sending a part again is the same as sending it once
    )
    def write(self, call: Call, upload: str, part: str) -> UploadPart:
        """Send one part, from 1, in any order and beside others.

        With `sha256` it counts once that was right; sent again, it is only compared. With `sha256_so_far` no two
        checksums of the same bytes need to be taken: it is compared once all parts before it are here, and a part that
        proves wrong is missing again, for `complete` to name. Sent again with the same, it is not looked at.
        """
        arrived = self._uploads.write(upload, part, call.body, **call.query)
        return _part(arrived)

    @operation(
        "POST",
        "/v1/uploads/<upload>/complete",
        tag="uploads",
        body=UploadComplete,
        answer=Dataset,
        errors=(404, 409, 413, 415, 422),
    )
    def complete(self, call: Call, upload: str) -> Dataset:
        """Make the parts a dataset; the whole file is checked as `POST /v1/datasets` checks it."""
        return dataset_wire(self._uploads.complete(upload, sha256=call.body.sha256))

    @operation("DELETE", "/v1/uploads/<upload>", tag="uploads", answer=Deleted, errors=(404,))
    def delete(self, call: Call, upload: str) -> Deleted:
        """Give an upload up and remove its parts; the dataset of a completed one stays."""
        self._uploads.delete(upload)
        return Deleted(id=upload, object="upload", deleted=True)


def _wire(record: UploadRecord, arrived: list[Arrived]) -> UploadSession:
    fields: dict[str, Any] = {name: value for name, value in asdict(record).items() if name != "fields"}
    return UploadSession.model_validate(
        {
            **fields,
            "status": "pending" if record.dataset is None else "completed",
            "part_count": record.part_count,
            "parts": [_part(part) for part in arrived],
        }
    )


def _part(arrived: Arrived) -> UploadPart:
    name = "sha256_so_far" if arrived.mark.so_far else "sha256"
    return UploadPart(number=arrived.number, bytes=arrived.bytes, **{name: arrived.mark.sha256})
