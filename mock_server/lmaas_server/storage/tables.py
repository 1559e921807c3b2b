"""The tables, as they are after the newest migration; knows no records and runs no SQL.

Every noun that is listed has a `position`, the order of insertion: pages are cut by it (a seek in an index,
never an OFFSET), and feedback is learned from in it. Ids stay what callers see.
"""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    event,
    false,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

_WHERE = "where"
BigInt = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the primary key is spelt INTEGER."""


class Json(TypeDecorator[Any]):
    """A JSON value as text, by orjson; a NULL is None."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Python to text."""
        return None if value is None else orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002
        """Text to Python."""
        return None if value is None else orjson.loads(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _only(where: TextClause) -> dict[str, Any]:
    """Return what makes an index one of the rows for which `where` holds."""
    return {"sqlite_where": where, "info": {_WHERE: where}}


@event.listens_for(metadata, "before_create")
def _say_it_to_postgresql(_metadata: MetaData, connection: Connection, **_: Any) -> None:
    # `postgresql_where=` imports that dialect, a twentieth of the time to start, for whoever serves SQLite.
    if connection.dialect.name == "postgresql":
        for table in metadata.tables.values():
            for index in table.indexes:
                index.dialect_options["postgresql"]["where"] = index.info.get(_WHERE)


def _position() -> Column[int]:
    return Column("position", BigInt, primary_key=True, autoincrement=True)


datasets = Table(
    "datasets",
    metadata,
    _position(),
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
    _position(),
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
        **_only(text("type = 'update' AND status IN ('queued', 'running', 'paused')")),
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
    _position(),
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

deployments = Table(
    "deployments",
    metadata,
    _position(),
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

predictions = Table(
    "predictions",
    metadata,
    _position(),
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

_LIVE = text("retracted_at IS NULL")
_SOURCED = text("retracted_at IS NULL AND source IS NOT NULL")
_JUDGED = text("retracted_at IS NULL AND verdict IS NOT NULL")

feedback = Table(
    "feedback",
    metadata,
    _position(),
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
    Index(None, "deployment", "position", **_only(_LIVE)),
    Index(None, "prediction_id", "position", **_only(_LIVE)),
    Index(None, "deployment", "learned", "position", **_only(_LIVE)),
    Index(None, "learned", "position", **_only(_LIVE)),
    Index(None, "applied_in", "position", **_only(_LIVE)),
    Index(None, "kind", "position", **_only(_LIVE)),
    Index(None, "deployment", "kind", "position", **_only(_LIVE)),
    Index(None, "source", "position", **_only(_SOURCED)),
    Index(None, "deployment", "model", "kind", "predicted_at", **_only(_JUDGED)),
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

counters = Table(
    "counters",
    metadata,
    # How many there are, kept in the transaction that adds them: nobody counts a million rows to show a figure.
    Column("noun", String(32), primary_key=True),
    Column("owner", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
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
