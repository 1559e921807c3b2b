"""Files that arrive in parts: what is here survives the process. Knows no HTTP and no database.

An upload is a folder `uploads/ID` of the artifact store:

    about.json     what was announced, and in the end what it became
    data           the file, of its full size from the start and with holes where parts are missing
    parts/N        a part's checksum, written after its bytes; empty while they are being written

A part goes straight to its place in `data`, so that completing copies nothing. Its mark is emptied before the first
byte and written after the last: a crash in between leaves a part that is missing, never one that is wrong. The lock on
the mark ends with the process that holds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

import orjson

from lmaas_server.errors import ConflictError, InvalidError, MalformedError
from lmaas_server.records import Json
from lmaas_server.storage.artifacts import Artifacts
from lmaas_server.storage.running_digest import RunningDigest, digest_of
from lmaas_server.storage.writeback import begin_writing

__all__ = ["Arrived", "UploadFiles", "UploadRecord"]

_FOLDER = "uploads"
_MARK_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRecord:
    """A file on its way."""

    id: str
    filename: str
    bytes: int
    part_bytes: int
    fields: Json
    created_at: float
    expires_at: float
    dataset: str | None = None

    @property
    def part_count(self) -> int:
        """How many parts the file has."""
        return -(-self.bytes // self.part_bytes)

    def bytes_of(self, number: int) -> int:
        """Return the size of a part, from 1; the last has what the others leave."""
        return min(self.part_bytes, self.bytes - (number - 1) * self.part_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A part that is here."""

    number: int
    bytes: int
    sha256: str


class UploadFiles:
    """The uploads under way."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._lock = threading.Lock()
        self._digests: dict[str, RunningDigest] = {}

    def __repr__(self) -> str:
        return f"UploadFiles({self._artifacts!r})"

    def add(self, record: UploadRecord) -> UploadRecord:
        """Make room for a file; an upload of this id that is there already is returned as it is."""
        if (known := self.get(record.id)) is not None:
            return known
        with self._artifacts.temporary() as temp:
            (temp / "parts").mkdir(parents=True)
            (temp / "data").touch()
            os.truncate(temp / "data", record.bytes)
            (temp / "about.json").write_bytes(orjson.dumps(asdict(record)))
            self._artifacts.adopt_directory(temp, _key(record.id))
        return record

    def get(self, id: str) -> UploadRecord | None:
        """Return an upload; None if there is none of this id."""
        try:
            return UploadRecord(**orjson.loads((self._at(id) / "about.json").read_bytes()))
        except (FileNotFoundError, ValueError):  # ValueError: no id at all
            return None

    def ids(self) -> list[str]:
        """Return the ids of all uploads."""
        return [key.removeprefix(f"{_FOLDER}/") for key in self._artifacts.keys(_FOLDER)]

    def arrived(self, record: UploadRecord) -> list[Arrived]:
        """Return the parts that are here, by number."""
        folder = self._at(record.id) / "parts"
        marks = {int(path.name): path.read_text("ascii") for path in folder.iterdir()} if folder.is_dir() else {}
        return [
            Arrived(number=number, bytes=record.bytes_of(number), sha256=mark)
            for number, mark in sorted(marks.items())
            if len(mark) == _MARK_BYTES
        ]

    def write(self, record: UploadRecord, number: int, blocks: Iterable[bytes], *, expected: str) -> Arrived:
        """Take a part in; one that is here already is only compared.

        Raises:
            MalformedError: `part_truncated`, fewer bytes came than the part has.
            InvalidError: `part_too_long`; `part_checksum_mismatch`, other bytes came than were announced.
            ConflictError: `part_in_progress`, the part is coming in over another connection; retryable.
        """
        folder = self._at(record.id)
        with _locked(folder / "parts" / str(number), number) as mark:
            here = os.pread(mark, _MARK_BYTES, 0).decode("ascii") == expected
            if not here:
                if os.fstat(mark).st_size:
                    self._let_go(record.id)  # its bytes are about to change under the checksum of the whole
                os.ftruncate(mark, 0)
            with (folder / "data").open("r+b", buffering=0) as data:
                data.seek((number - 1) * record.part_bytes)
                found = _received(blocks, None if here else data.write, number, record.bytes_of(number))
                begin_writing(data.fileno(), (number - 1) * record.part_bytes, record.bytes_of(number))
            if found != expected:
                message = f"Part {number} came with sha256 {found}, and {expected} was announced; send it again."
                raise InvalidError(message, code="part_checksum_mismatch", param="sha256")
            if not here:
                os.pwrite(mark, expected.encode("ascii"), 0)
        self._follow(record)
        return Arrived(number=number, bytes=record.bytes_of(number), sha256=expected)

    def whole(self, record: UploadRecord) -> tuple[Path, str]:
        """Return where the file is, and its checksum; all parts are here."""
        path = self._at(record.id) / "data"
        with self._lock:
            digest = self._digests.get(record.id)
        found = None
        if digest is not None:
            found = digest.whole({part.number: part.sha256 for part in self.arrived(record)})
        return path, found or digest_of(path)

    @contextlib.contextmanager
    def linked(self, path: Path) -> Iterator[Path]:
        """Lend a second name for a file, to be moved away while the upload keeps its own."""
        with self._artifacts.temporary() as temp:
            os.link(path, temp)
            yield temp

    def finish(self, record: UploadRecord, dataset: str) -> UploadRecord:
        """Note what an upload became, and let its bytes go."""
        done = replace(record, dataset=dataset)
        folder = self._at(record.id)
        self._let_go(record.id)
        self._artifacts.write(f"{_key(record.id)}/about.json", orjson.dumps(asdict(done)))
        (folder / "data").unlink(missing_ok=True)
        self._artifacts.delete(f"{_key(record.id)}/parts")
        return done

    def delete(self, id: str) -> bool:
        """Remove an upload and its parts; False if there was none."""
        self._let_go(id)
        return self._artifacts.delete(_key(id))

    def _follow(self, record: UploadRecord) -> None:
        """Take the checksum on over the parts that are here, unless another process does."""
        folder, digest = self._at(record.id), None
        with self._lock, contextlib.suppress(BlockingIOError, FileNotFoundError):
            if record.id not in self._digests:
                self._digests[record.id] = RunningDigest(folder / "data", record.part_bytes)
            digest = self._digests[record.id]
            for gone in [id for id, other in self._digests.items() if not other.path.exists()]:
                self._digests.pop(gone).close()  # another process completed it, or gave it up
        if digest is not None:
            digest.advance(lambda number: _mark_of(folder / "parts" / str(number)))

    def _let_go(self, id: str) -> None:
        with self._lock:
            digest = self._digests.pop(id, None)
        if digest is not None:
            digest.close()

    def _at(self, id: str) -> Path:
        return self._artifacts.path(_key(id))


def _mark_of(path: Path) -> str | None:
    """Return the checksum of a part that is here; None of one that is not."""
    try:
        mark = path.read_text("ascii")
    except FileNotFoundError:
        return None
    return mark if len(mark) == _MARK_BYTES else None


def _key(id: str) -> str:
    return f"{_FOLDER}/{id}"


@contextlib.contextmanager
def _locked(path: Path, number: int) -> Iterator[int]:
    """Hold the mark of a part; made if it is not there."""
    mark = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield mark
    except BlockingIOError as exc:
        message = f"Part {number} is coming in over another connection; ask again in a moment."
        raise ConflictError(message, code="part_in_progress", param="part", retryable=True) from exc
    finally:
        os.close(mark)


def _received(blocks: Iterable[bytes], write: object, number: int, size: int) -> str:
    """Write the blocks, exactly `size` bytes of them, and return their checksum."""
    digest, left = sha256(), size
    for block in blocks:
        left -= len(block)
        if left < 0:
            message = f"Part {number} has {size} bytes, and more came."
            raise InvalidError(message, code="part_too_long", param="part")
        digest.update(block)
        view = memoryview(block)
        while callable(write) and view:  # one write may take less than it was given
            view = view[write(view) :]
    if left:
        message = f"Part {number} has {size} bytes, and it broke off after {size - left}; send it again."
        raise MalformedError(message, code="part_truncated", param="part")
    return digest.hexdigest()
