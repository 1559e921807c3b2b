"""A large file sent in parts, several at once, each again on its own where a connection breaks. Knows no transport.

POST /v1/uploads                  announce the file; the server says how large parts are
GET  /v1/uploads/ID               which parts are there: those of an earlier try are not sent again
PUT  /v1/uploads/ID/parts/N       each with the checksum of the file up to its end
POST /v1/uploads/ID/complete      the dataset; parts that arrived as others are named, and sent again

The checksum of the file so far stands for that of the part: both sides then take one, not one of each part and another
of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from typing import Any

from lmaas import types
from lmaas._decode import answered
from lmaas._encode import encoded
from lmaas._flow import call
from lmaas._request import CallOptions, Compute, Flow, Request, Slice, Together, Upload, mint_key, query_of
from lmaas.errors import APIConnectionError, ConflictError, UnprocessableEntityError
from lmaas.resources._ids import JSON_CONTENT, segment, with_key

PARTS_ABOVE = 64 << 20
"""Bytes up to which one stream is as good: there is little to lose, and it takes one request."""
AT_ONCE = 4
"""Parts on their way at a time. More find the same processors busy with checksums."""
TRIES = 3
"""How often the parts that are missing are sent, if some arrive as others than they were."""
CHECKED_PER_SECOND = 20e6
"""Bytes a slow server checks in a second, to know how long the last answer may take."""
OCTETS = {"content-type": "application/octet-stream"}


@dataclass(slots=True)
class Tally:
    """How much of a file has arrived; parts finish in several threads."""

    upload: Upload
    arrived: int = 0
    lock: Lock = field(default_factory=Lock)

    def add(self, count: int) -> None:
        """Count a part that is there, and tell."""
        with self.lock:
            self.arrived += count
            if self.upload.on_progress is not None:
                self.upload.on_progress(self.arrived, self.upload.size)


@dataclass(slots=True)
class Checksums:
    """Those of a file up to the end of each part, taken in order, whoever asks first."""

    upload: Upload
    part_bytes: int
    known: list[str] = field(default_factory=list[str])
    digest: Any = field(default_factory=sha256)
    lock: Lock = field(default_factory=Lock)

    def part(self, number: int) -> Slice:
        """Return the bytes of a part, from 1."""
        start = (number - 1) * self.part_bytes
        return Slice(self.upload.source, start, min(self.part_bytes, self.upload.size - start))

    def up_to(self, number: int) -> str:
        """Return the sha256 of the file up to the end of a part.

        Raises:
            OSError: The file cannot be read, or has shrunk since it was measured.
        """
        with self.lock:
            while len(self.known) < number:
                digest = self.digest.copy()  # what fails is asked again, for another part
                self.part(len(self.known) + 1).feed(digest)
                self.digest = digest
                self.known.append(digest.hexdigest())
            return self.known[number - 1]


def in_parts(upload: Upload, fields: types.DatasetCreate, *, options: CallOptions) -> Flow[types.Dataset]:
    """Send the file and return the dataset the server made of it.

    Raises:
        APIConnectionError: A part did not get through, in all its attempts; a note says how to go on from there.
        UnprocessableEntityError: The server found a bad row; nothing is kept.
    """
    key = options.get("idempotency_key") or mint_key()
    create = types.UploadCreate(
        filename=upload.filename[:255],
        bytes=upload.size,
        **{name: getattr(fields, name) for name in fields.model_fields_set},
    )
    announced = Request("POST", "/v1/uploads", (), encoded(create), JSON_CONTENT, with_key(options, key))
    session = yield from call(announced, types.UploadSession)
    path = f"/v1/uploads/{segment(session.id)}"
    rest = _keyless(options)
    sums = Checksums(upload, session.part_bytes)
    tries = 0
    try:
        while True:
            session = yield from call(Request("GET", path, options=rest), types.UploadSession)
            if session.dataset is not None:
                found = Request("GET", f"/v1/datasets/{segment(session.dataset)}", options=rest)
                return (yield from call(found, types.Dataset))
            yield from _send(session, sums, path=path, options=rest)
            try:
                return (yield from _complete(path, upload.size, sums.up_to(session.part_count), rest))
            except ConflictError as exc:
                tries += 1
                if exc.code != "upload_incomplete" or tries == TRIES:
                    raise
    except APIConnectionError as exc:
        exc.add_note(f"Parts that arrived are kept: the same call with idempotency_key={key!r} sends only the others.")
        raise


def _send(session: types.UploadSession, sums: Checksums, *, path: str, options: CallOptions) -> Flow[None]:
    """Send the parts that are not there."""
    known = {part.number: part.sha256_so_far for part in session.parts}
    tally = Tally(sums.upload)
    yield Together(
        tuple(
            _part(sums, number, path=path, known=known, tally=tally, options=options)
            for number in range(1, session.part_count + 1)
        ),
        AT_ONCE,
    )


def _part(
    sums: Checksums,
    number: int,
    *,
    path: str,
    known: Mapping[int, str | None],
    tally: Tally,
    options: CallOptions,
) -> Flow[None]:
    checksum: str = yield Compute(lambda: sums.up_to(number))
    piece = sums.part(number)
    if known.get(number) != checksum:
        request = Request("PUT", f"{path}/parts/{number}", query_of(sha256_so_far=checksum), piece, OCTETS, options)
        try:
            answered((yield request), request)
        except UnprocessableEntityError as exc:
            if exc.code != "part_checksum_mismatch":
                raise
            return  # it is missing, and sent again with what else is
    tally.add(piece.size)


def _complete(path: str, size: int, checksum: str, options: CallOptions) -> Flow[types.Dataset]:
    patient = options.copy()
    if (timeout := options.get("timeout", 60.0)) is not None:
        patient["timeout"] = timeout + size / CHECKED_PER_SECOND
    body = encoded(types.UploadComplete(sha256=checksum))
    request = Request("POST", f"{path}/complete", (), body, JSON_CONTENT, patient)
    try:
        return (yield from call(request, types.Dataset))
    except UnprocessableEntityError:
        yield Request("DELETE", path, options=options)
        raise


def _keyless(options: CallOptions) -> CallOptions:
    """Return the options for the requests after the first: each is a piece of work of its own."""
    rest = options.copy()
    rest.pop("idempotency_key", None)
    return rest
