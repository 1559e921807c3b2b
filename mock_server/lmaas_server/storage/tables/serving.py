"""What serves, what it answered and how it did: deployments, predictions, observations. Runs no SQL."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from lmaas_server.storage.tables.ground import Json, metadata, position

deployments = Table(
    "deployments",
    metadata,
    position(),
    Column("name", String(64), nullable=False, unique=True),
    Column("status", String(16), nullable=False),
    Column("variants", Json, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("batching", Json, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("update_policy", Json),
    Column("guard", Json),
    Column("error", Json),
    Column("request_key", String(255)),
    Column("created_at", Float, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("deployment", String(64), ForeignKey("deployments.name", ondelete="CASCADE"), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("variants", Json, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", String(255)),
    Column("request_key", String(255)),
    Column("created_at", Float, nullable=False),
    Column("cause", String(16), nullable=False, server_default=text("'change'")),
    UniqueConstraint("deployment", "request_key"),
)

deployment_events = Table(
    "deployment_events",
    metadata,
    Column("deployment", String(64), ForeignKey("deployments.name", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("id", String(64), nullable=False, unique=True),
    Column("type", String(32), nullable=False),
    Column("level", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", Json, nullable=False),
    Column("created_at", Float, nullable=False),
)

predictions = Table(
    "predictions",
    metadata,
    position(),
    Column("id", String(64), nullable=False, unique=True),
    Column("deployment", String(64), nullable=False),
    Column("model", String(160), nullable=False),
    Column("outputs", Json, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("user", String(256)),
    Column("inputs", LargeBinary),
    Column("inputs_type", String(64)),
    Column("created_at", Float, nullable=False),
    Index(None, "deployment", "position"),
)

observations = Table(
    "observations",
    metadata,
    Column("deployment", String(64), ForeignKey("deployments.name", ondelete="CASCADE"), primary_key=True),
    # Where the span that is counted begins, in unix seconds: a minute, or later an hour.
    Column("begin", BigInteger, primary_key=True, autoincrement=False),
    Column("model", String(160), primary_key=True),
    Column("shadow", Boolean, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("row_errors", BigInteger, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("latency", Json, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("confident", BigInteger, nullable=False),
    Column("labelled", BigInteger, nullable=False),
    Column("correct", BigInteger, nullable=False),
    Column("feedback", Json, nullable=False),
    Column("ratings", Json, nullable=False),
    Column("compared", BigInteger, nullable=False),
    Column("agreed", BigInteger, nullable=False),
    Column("measured", BigInteger, nullable=False, server_default=text("0")),
    Column("difference", Float, nullable=False, server_default=text("0")),
    Column("dropped", BigInteger, nullable=False, server_default=text("0")),
    Index(None, "begin"),
)

detectors = Table(
    "detectors",
    metadata,
    Column("deployment", String(64), ForeignKey("deployments.name", ondelete="CASCADE"), primary_key=True),
    Column("model", String(160), primary_key=True),
    Column("state", Json, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index(None, "updated_at"),
)
