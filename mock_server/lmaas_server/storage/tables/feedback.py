"""What was said about predictions, and what was learned from it. Runs no SQL."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, String, Table, false, text

from lmaas_server.storage.tables.ground import Json, metadata, only, position

_LIVE = text("retracted_at IS NULL")
_SOURCED = text("retracted_at IS NULL AND source IS NOT NULL")
_JUDGED = text("retracted_at IS NULL AND verdict IS NOT NULL")

feedback = Table(
    "feedback",
    metadata,
    position(),
    Column("id", String(80), nullable=False, unique=True),
    Column("prediction_id", String(64), nullable=False),
    Column("index", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("value", Json),
    Column("weight", Float, nullable=False),
    Column("source", String(128)),
    Column("metadata", Json, nullable=False),
    Column("deployment", String(64), nullable=False),
    Column("model", String(160), nullable=False),
    Column("applied_in", String(160)),
    # Whether applied_in is set, as a value that can be looked up: "is not null" is a range and would be sorted.
    Column("learned", Boolean, nullable=False, server_default=false()),
    Column("created_at", Float, nullable=False),
    Column("retracted_at", Float),
    # Whether it speaks well of what was shown, and when that was; null where it says neither.
    Column("verdict", Boolean),
    Column("predicted_at", Float),
    Index(None, "deployment", "position", **only(_LIVE)),
    Index(None, "prediction_id", "position", **only(_LIVE)),
    Index(None, "deployment", "learned", "position", **only(_LIVE)),
    Index(None, "learned", "position", **only(_LIVE)),
    Index(None, "applied_in", "position", **only(_LIVE)),
    Index(None, "kind", "position", **only(_LIVE)),
    Index(None, "deployment", "kind", "position", **only(_LIVE)),
    Index(None, "source", "position", **only(_SOURCED)),
    Index(None, "deployment", "model", "kind", "predicted_at", **only(_JUDGED)),
)

# What a version learned from that is no champion yet: noted as applied once it is promoted there.
candidate_feedback = Table(
    "candidate_feedback",
    metadata,
    Column("deployment", String(64), primary_key=True),
    Column("model", String(160), primary_key=True),
    Column("feedback", String(80), primary_key=True),
    Index(None, "model"),
)

# How many items of feedback a version has learned from and still may have; `named` where they have a source.
learned_counts = Table(
    "learned_counts",
    metadata,
    Column("model", String(160), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("named", Boolean, primary_key=True),
    Column("source", String(128), primary_key=True),
    Column("items", BigInteger, nullable=False),
)
