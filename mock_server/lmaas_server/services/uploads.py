"""Files that arrive in parts and become datasets. Knows no HTTP and not how parts are kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import orjson

from lmaas.types import DatasetCreate, UploadCreate
from lmaas_server.errors import ConflictError, InvalidError, MissingError, TooLargeError
from lmaas_server.records import DatasetRecord, new_id
from lmaas_server.services.datasets import DatasetService
from lmaas_server.storage.part_marks import Mark
from lmaas_server.storage.uploads import Arrived, UploadFiles, UploadRecord

__all__ = ["UploadService"]

_MOST_PARTS = 10_000
_GOOD_MANY_PARTS = 32
"""Up to which parts stay as small as the setting says: each costs both sides a request, and a broken line costs one."""
_MOST_TIMES_AS_LARGE = 4
_NAMED = 10
_SHA256 = re.compile(r"[0-9a-f]{64}")


class UploadService:
    """Takes parts in, in any order, and makes the whole a dataset."""

    def __init__(
        self,
        files: UploadFiles,
        datasets: DatasetService,
        *,
        part_bytes: int,
        max_bytes: int,
        max_open: int,
        lifetime: float,
        clock: Callable[[], float],
    ) -> None:
        self._files = files
        self._datasets = datasets
        self._part_bytes = part_bytes
        self._max_bytes = max_bytes
        self._max_open = max_open
        self._lifetime = lifetime
        self._clock = clock

    def __repr__(self) -> str:
        return f"UploadService({self._files!r})"

    def create(self, asked: UploadCreate, *, request_key: str | None = None) -> UploadRecord:
        """Announce a file; what was abandoned makes room.

        Raises:
            TooLargeError: `upload_too_large`.
            ConflictError: `too_many_uploads` are under way.
        """
        self.purge()
        id = new_id("up", request_key)
        if (known := self._files.get(id)) is not None:
            return known
        if asked.bytes > self._max_bytes:
            message = f"The file has {asked.bytes} bytes; this server takes at most {self._max_bytes}."
            raise TooLargeError(message, code="upload_too_large", param="bytes")
        if sum(record.dataset is None for record in self._all()) >= self._max_open:
            message = f"There are {self._max_open} uploads under way; complete or delete one of them."
            raise ConflictError(message, code="too_many_uploads")
        now = self._clock()
        return self._files.add(
            UploadRecord(
                id=id,
                filename=asked.filename,
                bytes=asked.bytes,
                part_bytes=self._part_bytes_for(asked.bytes),
                fields=asked.model_dump(mode="json", exclude={"filename", "bytes"}, exclude_none=True),
                created_at=now,
                expires_at=now + self._lifetime,
            )
        )

    def get(self, id: str) -> tuple[UploadRecord, list[Arrived]]:
        """Return an upload and the parts of it that are here.

        Raises:
            MissingError: `upload_not_found`, or it has expired.
        """
        record = self._known(id)
        return record, self._files.arrived(record)

    def write(
        self,
        id: str,
        number: str,
        blocks: Iterable[bytes],
        *,
        sha256: str | None = None,
        sha256_so_far: str | None = None,
    ) -> Arrived:
        """Take a part in and compare its checksum, or that of the file up to its end.

        Raises:
            MissingError: `upload_not_found`; `part_not_found`, the file has no such part.
            InvalidError: The checksum is missing, malformed or another than that of the bytes; or there are two.
            ConflictError: `upload_completed`, or the part is coming in already.
        """
        record = self._known(id)  # which parts are here is not looked up for each of them
        if record.dataset is not None:
            message = f"The upload {id} is complete: it is the dataset {record.dataset}."
            raise ConflictError(message, code="upload_completed", param="upload")
        if not number.isascii() or not number.isdigit() or not 1 <= int(number[:9]) <= record.part_count:
            message = f"The upload {id} has the parts 1 to {record.part_count}, not {number[:40]!r}."
            raise MissingError(message, code="part_not_found", param="part")
        return self._files.write(record, int(number), blocks, mark=_mark(sha256, sha256_so_far))

    def complete(self, id: str, *, sha256: str | None = None) -> DatasetRecord:
        """Check the whole file and make it a dataset; asked again, return the same.

        Raises:
            ConflictError: `upload_incomplete`, the message names the parts that are missing.
            InvalidError: `checksum_mismatch`, or the file is not what it claims; it stays until it expires.
        """
        record = self._known(id)
        if record.dataset is not None:
            return self._datasets.get(record.dataset)
        self._check_complete(record)
        path, found, crcs = self._files.whole(record)
        if found is None:
            self._check_complete(record)
            message = f"A part of the upload {id} changed while it was completed; complete it again."
            raise ConflictError(message, code="upload_incomplete", param="parts", retryable=True)
        if sha256 not in {None, found}:
            message = f"The file has sha256 {found}, not {sha256}."
            raise InvalidError(message, code="checksum_mismatch", param="sha256")
        with self._files.linked(path) as lent:
            dataset = self._datasets.create(
                lent,
                DatasetCreate.model_validate_json(orjson.dumps(record.fields)),
                filename=record.filename,
                sha256=found,
                size=record.bytes,
                crcs=crcs,
                request_key=record.id,
            )
        self._files.finish(record, dataset.id)
        return dataset

    def delete(self, id: str) -> None:
        """Give an upload up and remove its parts; a dataset it became stays.

        Raises:
            MissingError: `upload_not_found`.
        """
        self._known(id)
        self._files.delete(id)

    def purge(self) -> int:
        """Remove what has expired and return how many uploads that were."""
        now = self._clock()
        expired = [record.id for record in self._all() if record.expires_at <= now]
        for id in expired:
            self._files.delete(id)
        return len(expired)

    def _check_complete(self, record: UploadRecord) -> None:
        arrived = {part.number for part in self._files.arrived(record)}
        if missing := sorted({*range(1, record.part_count + 1)} - arrived):
            named = ", ".join(map(str, missing[:_NAMED])) + (", ..." if len(missing) > _NAMED else "")
            message = f"Missing of {record.part_count} parts: {named}. Send them and complete it again."
            raise ConflictError(message, code="upload_incomplete", param="parts")

    def _part_bytes_for(self, size: int) -> int:
        times = min(-(-size // (self._part_bytes * _GOOD_MANY_PARTS)), _MOST_TIMES_AS_LARGE)
        return max(self._part_bytes * times, -(-size // _MOST_PARTS))

    def _known(self, id: str) -> UploadRecord:
        record = self._files.get(id)
        if record is None or record.expires_at <= self._clock():
            message = f"There is no upload {id[:80]!r}, or it has expired; begin with POST /v1/uploads."
            raise MissingError(message, code="upload_not_found", param="upload")
        return record

    def _all(self) -> list[UploadRecord]:
        found = (self._files.get(id) for id in self._files.ids())
        return [record for record in found if record is not None]


def _mark(sha256: str | None, so_far: str | None) -> Mark:
    given = [word for word in (sha256, so_far) if word is not None]
    if len(given) != 1 or not _SHA256.fullmatch(given[0]):
        message = (
            "`sha256` is the checksum of the part, 64 hex digits in lower case, and `sha256_so_far` that of the file "
            "up to its end; one of the two goes into the query."
        )
        raise InvalidError(message, code="invalid_value", param="sha256" if so_far is None else "sha256_so_far")
    return Mark(given[0]) if so_far is None else Mark.of_file_so_far(so_far)
