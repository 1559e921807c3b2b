"""What is trained and on what: datasets, jobs with their diary, and models. Runs no SQL."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from lmaas_server.storage.tables.ground import Json, metadata, only, position

datasets = Table(
    "datasets",
    metadata,
    position(),
    Column("id", String(64), nullable=False, unique=True),
    Column("name", String(64), nullable=False),
    Column("format", String(16), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("input", Json, nullable=False),
    Column("target", Json, nullable=False),
    Column("created_at", Float, nullable=False),
    Index(None, "name", "position"),
)

jobs = Table(
    "jobs",
    metadata,
    position(),
    Column("id", String(64), nullable=False, unique=True),
    Column("type", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("request", Json, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("progress", Json, nullable=False),
    Column("metrics", Json, nullable=False),
    Column("model", String(160)),
    Column("deployment", String(64)),
    Column("result", Json),
    Column("error", Json),
    Column("wanted", String(16)),
    Column("attempt", Integer, nullable=False),
    Column("last_event", Integer, nullable=False, server_default=text("0")),
    # Of updates: why the deployment itself asked for it, and which feedback and which alarm it takes into account.
    Column("trigger", Json),
    Column("feedback_position", BigInteger),
    Column("alarm_seq", Integer),
    Index(None, "status", "position"),
    Index(None, "type", "position"),
    Index(None, "deployment", "position"),
    Index(None, "model", "position"),
    # One update at a time for a deployment: the database itself refuses a second.
    Index(
        "uq_jobs_open_update",
        "deployment",
        unique=True,
        **only(text("type = 'update' AND status IN ('queued', 'running', 'paused')")),
    ),
)

job_events = Table(
    "job_events",
    metadata,
    Column("job", String(64), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("type", String(16), nullable=False),
    Column("level", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("data", Json, nullable=False),
    Column("created_at", Float, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("job", String(64), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("metrics", Json, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("job", "step"),
)

model_names = Table(
    "model_names",
    metadata,
    Column("name", String(64), primary_key=True),
    # Outlives the versions it counted: the number of a deleted version is never given again.
    Column("last_version", Integer, nullable=False),
)

models = Table(
    "models",
    metadata,
    position(),
    Column("name", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("job", String(64), unique=True),
    Column("task", String(32), nullable=False),
    Column("architecture", Json, nullable=False),
    Column("parameters", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("metrics", Json, nullable=False),
    Column("input", Json, nullable=False),
    Column("target", Json, nullable=False),
    Column("lineage", Json, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("owned_by", String(64), nullable=False),
    UniqueConstraint("name", "version"),
    Index(None, "name", "position"),
)

aliases = Table(
    "aliases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("alias", String(64), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index(None, "alias"),
)
