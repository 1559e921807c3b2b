"""Files that arrive in parts: what is here survives the process. Knows no HTTP and no database.

An upload is a folder `uploads/ID` of the artifact store:

    about.json     what was announced, and in the end what it became
    data           the file, of its full size from the start and with holes where parts are missing
    parts/N        the checksum a part came with, written after its bytes; empty while they are being written

A part goes straight to its place in `data`, so that completing copies nothing. Its mark is emptied before the first
byte and written after the last: a crash in between leaves a part that is missing, never one that is wrong. The lock on
the mark ends with the process that holds it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

import orjson

from lmaas_server.errors import InvalidError, MalformedError
from lmaas_server.records import Json
from lmaas_server.storage.artifacts import Artifacts
from lmaas_server.storage.part_marks import Mark, drop, held, mark_at
from lmaas_server.storage.running_digest import RunningDigest
from lmaas_server.storage.writeback import begin_writing

__all__ = ["Arrived", "UploadFiles", "UploadRecord"]

_FOLDER = "uploads"


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
    mark: Mark


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
        return [
            Arrived(number=number, bytes=record.bytes_of(number), mark=mark)
            for number, mark in sorted(self._marks(record).items())
        ]

    def write(self, record: UploadRecord, number: int, blocks: Iterable[bytes], *, mark: Mark) -> Arrived:
        """Take a part in; one that is here already is only compared, or passed over with what its mark says.

        Raises:
            MalformedError: `part_truncated`, fewer bytes came than the part has.
            InvalidError: `part_too_long`; `part_checksum_mismatch`, other bytes came than were announced.
            ConflictError: `part_in_progress`, the part is coming in over another connection; retryable.
        """
        folder = self._at(record.id)
        with held(folder / "parts" / str(number), number) as file:
            known = Mark.read(file)
            here = known is not None and known.says_what(mark)
            if not here:
                if known is not None:
                    self._let_go(record.id)  # its bytes are about to change under the checksum of the whole
                os.ftruncate(file, 0)
            with (folder / "data").open("r+b", buffering=0) as data:
                data.seek((number - 1) * record.part_bytes)
                found = _received(blocks, None if here else data.write, number, record.bytes_of(number), mark)
                begin_writing(data.fileno(), (number - 1) * record.part_bytes, record.bytes_of(number))
            if found != mark.sha256:
                raise _mismatch(number, "sha256", f"came with sha256 {found}, and {mark.sha256} was announced")
            if not here:
                mark.write(file)
        if self._follow(record) == number:
            why = f"does not make the file's sha256 up to its end {mark.sha256}, as was announced"
            raise _mismatch(number, "sha256_so_far", why)
        return Arrived(number=number, bytes=record.bytes_of(number), mark=mark)

    def whole(self, record: UploadRecord) -> tuple[Path, str | None, list[tuple[int, int]]]:
        """Return where the file is, its checksum, and the CRC-32 up to each part's end (`RunningDigest.crcs`).

        All parts are here.

        There is no checksum if a part proved to be another than its mark says: then it is missing by now.
        """
        path, marks = self._at(record.id) / "data", self._marks(record)
        with self._lock:
            digest = self._digests.get(record.id)
        if digest is not None and (found := digest.whole(marks)) is not None:
            return path, found, digest.crcs
        with contextlib.closing(self._digest(record, alone=False)) as anew:
            return path, anew.whole(marks), anew.crcs

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

    def _follow(self, record: UploadRecord) -> int | None:
        """Take the checksum on over the parts that are here, unless another process does.

        Returns the number of a part that was not what its mark says, if one was met.
        """
        folder, digest = self._at(record.id) / "parts", None
        with self._lock, contextlib.suppress(BlockingIOError, FileNotFoundError):
            if record.id not in self._digests:
                self._digests[record.id] = self._digest(record)
            digest = self._digests[record.id]
            for gone in [id for id, other in self._digests.items() if not other.path.exists()]:
                self._digests.pop(gone).close()  # another process completed it, or gave it up
        return None if digest is None else digest.advance(lambda number: mark_at(folder / str(number)))

    def _digest(self, record: UploadRecord, *, alone: bool = True) -> RunningDigest:
        folder = self._at(record.id)
        return RunningDigest(
            folder / "data",
            record.part_bytes,
            lambda number, mark: drop(folder / "parts" / str(number), number, mark),
            alone=alone,
        )

    def _marks(self, record: UploadRecord) -> dict[int, Mark]:
        folder = self._at(record.id) / "parts"
        found = {int(path.name): mark_at(path) for path in folder.iterdir()} if folder.is_dir() else {}
        return {number: mark for number, mark in found.items() if mark is not None}

    def _let_go(self, id: str) -> None:
        with self._lock:
            digest = self._digests.pop(id, None)
        if digest is not None:
            digest.close()

    def _at(self, id: str) -> Path:
        return self._artifacts.path(_key(id))


def _key(id: str) -> str:
    return f"{_FOLDER}/{id}"


def _mismatch(number: int, param: str, why: str) -> InvalidError:
    return InvalidError(f"Part {number} {why}; send it again.", code="part_checksum_mismatch", param=param)


def _received(blocks: Iterable[bytes], write: object, number: int, size: int, mark: Mark) -> str:
    """Write the blocks, exactly `size` bytes of them; return their checksum, or `mark`'s if it is of more than them."""
    digest, left = None if mark.so_far else sha256(), size
    for block in blocks:
        left -= len(block)
        if left < 0:
            message = f"Part {number} has {size} bytes, and more came."
            raise InvalidError(message, code="part_too_long", param="part")
        if digest is not None:
            digest.update(block)
        view = memoryview(block)
        while callable(write) and view:  # one write may take less than it was given
            view = view[write(view) :]
    if left:
        message = f"Part {number} has {size} bytes, and it broke off after {size - left}; send it again."
        raise MalformedError(message, code="part_truncated", param="part")
    return mark.sha256 if digest is None else digest.hexdigest()
