"""What the server keeps for itself: counts, and answers to be given again. Runs no SQL."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, String, Table

from lmaas_server.storage.tables.ground import Json, metadata

counters = Table(
    "counters",
    metadata,
    # How many there are, kept in the transaction that adds them: nobody counts a million rows to show a figure.
    Column("noun", String(32), primary_key=True),
    Column("owner", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("status", Integer),
    Column("headers", Json),
    Column("body", LargeBinary),
    # Which process of the server is at it: what it leaves unfinished is given back when it is found dead.
    Column("owner", String(64)),
    Column("created_at", Float, nullable=False),
    Index(None, "created_at"),
)
