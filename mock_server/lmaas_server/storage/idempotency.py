"""What was answered to an idempotency key; knows no HTTP but the shape of an answer.

In the log's kind of transaction: this table saves doing work again, and what proves that it is done once are the ids
derived from the key. So a power failure may take a key back without harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, delete, insert, select, update

from lmaas_server.errors import ConflictError
from lmaas_server.storage.database import Database
from lmaas_server.storage.tables import idempotency_keys as keys


@dataclass(frozen=True, slots=True)
class Begun:
    """The key is new: do the work, then `finish` or `abandon` it."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The work was done; this was the answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class IdempotencyRepository:
    """Keys of requests, and their answers."""

    def __init__(self, database: Database, *, owner: str | None = None) -> None:
        """`owner` is the name of this process among those of its server, if there are several."""
        self._database = database
        self._owner = owner

    def begin(self, key: str, fingerprint: str, now: float) -> Begun | Replay:
        """Take a key, or return the answer that was given to it.

        Raises:
            ConflictError: `idempotency_key_reused`, the key came with another request;
                `request_in_progress` (retryable), the first request with it has not been answered yet.
        """
        with self._database.writing(durable=False) as connection:
            row = connection.execute(select(keys).where(keys.c.key == key)).mappings().one_or_none()
            if row is None:
                connection.execute(
                    insert(keys).values(key=key, fingerprint=fingerprint, owner=self._owner, created_at=now)
                )
                return Begun()
        if row["fingerprint"] != fingerprint:
            raise ConflictError(
                "This idempotency key was used with another request; mint a new key for new work.",
                code="idempotency_key_reused",
                param="Idempotency-Key",
            )
        if row["status"] is None:
            raise ConflictError(
                "The first request with this idempotency key is still being worked on; try again in a moment.",
                code="request_in_progress",
                param="Idempotency-Key",
                retryable=True,
            )
        return Replay(row["status"], row["headers"] or {}, row["body"] or b"")

    def finish(self, key: str, status: int, headers: dict[str, str], body: bytes) -> None:
        """Keep the answer to a key."""
        with self._database.writing(durable=False) as connection:
            change = update(keys).where(keys.c.key == key)
            connection.execute(change.values(status=status, headers=headers, body=body))

    def abandon(self, key: str) -> None:
        """Give back a key whose work was not done, so that the next attempt does it."""
        self._delete(keys.c.key == key, keys.c.status.is_(None))

    def purge(self, before: float) -> int:
        """Forget the keys taken before a time; returns how many."""
        return self._delete(keys.c.created_at < before)

    def forget_unfinished(self, of: Iterable[str] | None = None) -> int:
        """Give back the keys that a dead server never answered; at start-up, before any request.

        `of` are the owners that have died, where others of the same server live.
        """
        theirs = () if of is None else (keys.c.owner.in_(list(of)),)
        return self._delete(keys.c.status.is_(None), *theirs)

    def _delete(self, *where: ColumnElement[bool]) -> int:
        with self._database.writing(durable=False) as connection:
            return connection.execute(delete(keys).where(*where)).rowcount
