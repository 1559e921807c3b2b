"""Datasets: a file is checked whole before it is kept. Knows no HTTP and no training."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lmaas.types import DatasetCreate
from lmaas_server.engine.data.examples import ReadLimits
from lmaas_server.errors import ConflictError, InvalidError, MissingError
from lmaas_server.records import DatasetRecord, Json, PageRequest, new_id
from lmaas_server.storage import Artifacts, Page, Storage

__all__ = ["DatasetService"]

_MAX_DIGITS = 12
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


class DatasetService:
    """Keeps files of examples."""

    def __init__(
        self,
        storage: Storage,
        artifacts: Artifacts,
        *,
        max_unpacked_bytes: int,
        max_memory_bytes: int = 256 << 20,
        max_clip_seconds: float = 60.0,
        announce: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._storage = storage
        self._artifacts = artifacts
        self._limits = ReadLimits(
            max_unpacked_bytes=max_unpacked_bytes,
            max_memory_bytes=max_memory_bytes,
            max_clip_seconds=max_clip_seconds,
        )
        self._announce = announce
        self._clock = clock

    def __repr__(self) -> str:
        return f"DatasetService({self._artifacts!r})"

    def create(
        self,
        path: Path,
        fields: DatasetCreate,
        *,
        filename: str,
        sha256: str,
        size: int,
        crcs: Sequence[tuple[int, int]] = (),
        request_key: str | None = None,
    ) -> DatasetRecord:
        """Check the file at `path` and move it into the store; `crcs` as `read_dataset` takes them.

        Raises:
            InvalidError, UnsupportedError, TooLargeError: The file is not what it claims; nothing is kept.
        """
        id = new_id("ds", request_key)
        if (known := self._storage.datasets.get(id)) is not None:
            return known
        # Imported late, here and below: numpy and Pillow come along.
        from lmaas_server.engine.data.reader import read_dataset

        self._announce()
        examples = read_dataset(
            path,
            filename=filename or "file",
            format=fields.format,
            input=None if fields.input is None else fields.input.model_dump(exclude_none=True),
            target=None if fields.target is None else fields.target.model_dump(exclude_none=True),
            limits=self._limits,
            crcs=crcs,
        )
        record = DatasetRecord(
            id=id,
            name=fields.name or _name_from(filename),
            format=examples.format,
            bytes=size,
            sha256=sha256,
            rows=len(examples),
            input=examples.input,
            target=examples.target,
            created_at=self._clock(),
        )
        # The file before its row: a crash in between leaves a file nobody speaks of, which the next start sweeps.
        self._artifacts.adopt_file(path, _key(id))
        return self._storage.datasets.add(record)

    def get(self, id: str) -> DatasetRecord:
        """Return a dataset.

        Raises:
            MissingError: `dataset_not_found`.
        """
        if (record := self._storage.datasets.get(id)) is None:
            message = f"There is no dataset {id!r}; list them with GET /v1/datasets."
            raise MissingError(message, code="dataset_not_found", param="dataset")
        return record

    def page(self, page: PageRequest, *, name: str | None = None) -> Page[DatasetRecord]:
        """Return one page of the datasets."""
        return self._storage.datasets.page(page, name=name)

    def content(self, id: str) -> tuple[DatasetRecord, Path]:
        """Return a dataset and where its bytes are."""
        record = self.get(id)
        return record, self._artifacts.path(_key(id))

    def rows(self, id: str, page: PageRequest) -> tuple[list[Json], bool]:
        """Return rows as people read them, after the row `page.after`, and whether there are more."""
        record, path = self.content(id)
        first = _index_after(page, record.rows)
        step = 1 if page.order == "asc" else -1
        last = min(record.rows, first + page.limit) if step == 1 else max(-1, first - page.limit)
        return self._rows(record, path, range(first, last, step)), 0 <= last < record.rows

    def _rows(self, record: DatasetRecord, path: Path, rows: range) -> list[Json]:
        if {"column", "columns"} & record.input.keys():
            from lmaas_server.engine.data.peek import peek

            shown = peek(
                path,
                filename=record.name,
                format=record.format,
                input=record.input,
                target=record.target,
                rows=rows,
                limits=self._limits,
            )
            return [{"index": index, **row} for index, row in zip(rows, shown, strict=True)]
        from lmaas_server.engine.data.kinds import input_spec, target_spec
        from lmaas_server.engine.data.reader import read_dataset

        examples = read_dataset(
            path,
            filename=record.name,
            format=record.format,
            input=input_spec(record.input),
            target=target_spec(record.target),
            limits=self._limits,
        )
        return [_row(examples, index) for index in rows]

    def delete(self, id: str) -> None:
        """Remove a dataset and its file.

        Raises:
            MissingError: `dataset_not_found`.
            ConflictError: `dataset_in_use`, a job that has not ended reads it.
        """
        self.get(id)
        for job in self._storage.jobs.with_status("queued", "running", "paused"):
            if id in _datasets_of(job.request):
                message = f"The dataset {id} is in use by {job.id} ({job.status}); wait for it to end, or cancel it."
                raise ConflictError(message, code="dataset_in_use")
        self._storage.datasets.delete(id)
        self._artifacts.delete(_key(id))


def _key(id: str) -> str:
    return f"datasets/{id}"


def _name_from(filename: str) -> str:
    r"""`C:\\data\\my digits.npz` -> `my-digits`."""
    stem = re.split(r"[\\/]", filename)[-1].rsplit(".", 1)[0]
    return _NOT_IN_NAMES.sub("-", stem).strip("-._")[:64] or "dataset"


def _datasets_of(request: Json) -> set[Any]:
    validation = request.get("validation") or {}
    return {request.get("dataset"), validation.get("dataset")}


def _index_after(page: PageRequest, rows: int) -> int:
    if page.after is None:
        return 0 if page.order == "asc" else rows - 1
    if not page.after.isdecimal() or len(page.after) > _MAX_DIGITS or int(page.after) >= rows:
        message = f"`after` is the index of a row, 0 to {rows - 1}, not {page.after[:40]!r}."
        raise InvalidError(message, code="after_not_found", param="after")
    return int(page.after) + (1 if page.order == "asc" else -1)


def _row(examples: Any, index: int) -> Json:
    from lmaas_server.engine.data.reader import preview

    target: Any = None
    if examples.targets is not None:
        value = examples.targets[index].tolist()
        target = examples.classes[value] if examples.target["kind"] == "class" else value
    return {"index": index, "input": preview(examples.inputs[index], examples.input), "target": target}
