"""A large file sent in parts, several at once, each again on its own where a connection breaks. Knows no transport.

POST /v1/uploads                  announce the file; the server says how large parts are
GET  /v1/uploads/ID               which parts are there: those of an earlier try are not sent again
PUT  /v1/uploads/ID/parts/N       each with its checksum
POST /v1/uploads/ID/complete      the dataset
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

from lmaas import types
from lmaas._decode import answered
from lmaas._encode import encoded
from lmaas._flow import call
from lmaas._request import CallOptions, Compute, Flow, Request, Slice, Together, Upload, mint_key, query_of
from lmaas.errors import APIConnectionError, UnprocessableEntityError
from lmaas.resources._ids import JSON_CONTENT, segment, with_key

PARTS_ABOVE = 64 << 20
"""Bytes up to which one stream is as good: there is little to lose, and it takes one request."""
AT_ONCE = 4
"""Parts on their way at a time. More find the same processors busy with checksums."""
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
    session = yield from call(Request("GET", path, options=rest), types.UploadSession)
    if session.dataset is not None:
        return (
            yield from call(Request("GET", f"/v1/datasets/{segment(session.dataset)}", options=rest), types.Dataset)
        )
    known = {part.number: part.sha256 for part in session.parts}
    tally = Tally(upload)
    try:
        yield Together(
            tuple(
                _part(upload, session, number, path=path, known=known, tally=tally, options=rest)
                for number in range(1, session.part_count + 1)
            ),
            AT_ONCE,
        )
        return (yield from _complete(path, upload.size, rest))
    except APIConnectionError as exc:
        exc.add_note(f"Parts that arrived are kept: the same call with idempotency_key={key!r} sends only the others.")
        raise


def _part(
    upload: Upload,
    session: types.UploadSession,
    number: int,
    *,
    path: str,
    known: Mapping[int, str],
    tally: Tally,
    options: CallOptions,
) -> Flow[None]:
    start = (number - 1) * session.part_bytes
    piece = Slice(upload.source, start, min(session.part_bytes, upload.size - start))
    checksum: str = yield Compute(piece.checksum)
    if known.get(number) != checksum:
        query = query_of(sha256=checksum)
        request = Request("PUT", f"{path}/parts/{number}", query, piece, OCTETS, options)
        answered((yield request), request)
    tally.add(piece.size)


def _complete(path: str, size: int, options: CallOptions) -> Flow[types.Dataset]:
    patient = options.copy()
    if (timeout := options.get("timeout", 60.0)) is not None:
        patient["timeout"] = timeout + size / CHECKED_PER_SECOND
    request = Request("POST", f"{path}/complete", (), b"{}", JSON_CONTENT, patient)
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
