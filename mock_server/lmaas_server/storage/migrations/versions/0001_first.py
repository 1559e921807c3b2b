"""The first schema: every noun of the service.

A migration is history: it spells out the tables as they were and imports none of the code that has moved on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    _datasets()
    _jobs()
    _job_events()
    _checkpoints()
    _model_names()
    _models()
    _aliases()
    _deployments()
    _revisions()
    _predictions()
    _feedback()
    _counters()
    _idempotency_keys()


def downgrade() -> None:
    """Drop the tables, those that point at others first."""
    for table in reversed(_TABLES):
        op.drop_table(table)


_TABLES = (
    "datasets",
    "jobs",
    "job_events",
    "checkpoints",
    "model_names",
    "models",
    "aliases",
    "deployments",
    "revisions",
    "predictions",
    "feedback",
    "counters",
    "idempotency_keys",
)


def _datasets() -> None:
    op.create_table(
        "datasets",
        sa.Column("position", _POSITION, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_datasets")),
        sa.UniqueConstraint("id", name=op.f("uq_datasets_id")),
    )
    op.create_index(op.f("ix_datasets_name_position"), "datasets", ["name", "position"], unique=False)


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("position", _POSITION, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=True),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.Column("progress", sa.Text(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("model", sa.String(length=160), nullable=True),
        sa.Column("deployment", sa.String(length=64), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("wanted", sa.String(length=16), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("last_event", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_jobs")),
        sa.UniqueConstraint("id", name=op.f("uq_jobs_id")),
    )
    op.create_index(op.f("ix_jobs_deployment_position"), "jobs", ["deployment", "position"], unique=False)
    op.create_index(op.f("ix_jobs_model_position"), "jobs", ["model", "position"], unique=False)
    op.create_index(op.f("ix_jobs_status_position"), "jobs", ["status", "position"], unique=False)
    op.create_index(op.f("ix_jobs_type_position"), "jobs", ["type", "position"], unique=False)
    op.create_index(
        "uq_jobs_open_update",
        "jobs",
        ["deployment"],
        unique=True,
        sqlite_where=sa.text("type = 'update' AND status IN ('queued', 'running', 'paused')"),
        postgresql_where=sa.text("type = 'update' AND status IN ('queued', 'running', 'paused')"),
    )


def _job_events() -> None:
    op.create_table(
        "job_events",
        sa.Column("job", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_job_events_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job", "seq", name=op.f("pk_job_events")),
    )


def _checkpoints() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("job", sa.String(length=64), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name=op.f("fk_checkpoints_job"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoints")),
        sa.UniqueConstraint("job", "step", name=op.f("uq_checkpoints_job_step")),
    )


def _model_names() -> None:
    op.create_table(
        "model_names",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("last_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_model_names")),
    )


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("position", _POSITION, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("job", sa.String(length=64), nullable=True),
        sa.Column("task", sa.String(length=32), nullable=False),
        sa.Column("architecture", sa.Text(), nullable=False),
        sa.Column("parameters", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("lineage", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("owned_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_models")),
        sa.UniqueConstraint("job", name=op.f("uq_models_job")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_models_name_version")),
    )
    op.create_index(op.f("ix_models_name_position"), "models", ["name", "position"], unique=False)


def _aliases() -> None:
    op.create_table(
        "aliases",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("alias", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "alias", name=op.f("pk_aliases")),
    )
    op.create_index(op.f("ix_aliases_alias"), "aliases", ["alias"], unique=False)


def _deployments() -> None:
    op.create_table(
        "deployments",
        sa.Column("position", _POSITION, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("variants", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("batching", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("update_policy", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("request_key", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_deployments")),
        sa.UniqueConstraint("name", name=op.f("uq_deployments_name")),
    )


def _revisions() -> None:
    op.create_table(
        "revisions",
        sa.Column("deployment", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("variants", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=255), nullable=True),
        sa.Column("request_key", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment"], ["deployments.name"], name=op.f("fk_revisions_deployment"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("deployment", "revision", name=op.f("pk_revisions")),
        sa.UniqueConstraint("deployment", "request_key", name=op.f("uq_revisions_deployment_request_key")),
    )


def _predictions() -> None:
    op.create_table(
        "predictions",
        sa.Column("position", _POSITION, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("deployment", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=160), nullable=False),
        sa.Column("outputs", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("user", sa.String(length=256), nullable=True),
        sa.Column("inputs", sa.LargeBinary(), nullable=True),
        sa.Column("inputs_type", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_predictions")),
        sa.UniqueConstraint("id", name=op.f("uq_predictions_id")),
    )
    op.create_index(op.f("ix_predictions_deployment_position"), "predictions", ["deployment", "position"], unique=False)


def _feedback() -> None:
    op.create_table(
        "feedback",
        sa.Column("position", _POSITION, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("prediction_id", sa.String(length=64), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("source", sa.String(length=128), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("deployment", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=160), nullable=False),
        sa.Column("applied_in", sa.String(length=160), nullable=True),
        sa.Column("learned", sa.Boolean(), server_default=sa.text("0"), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("retracted_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_feedback")),
        sa.UniqueConstraint("id", name=op.f("uq_feedback_id")),
    )
    _feedback_indices()


def _feedback_indices() -> None:
    op.create_index(
        op.f("ix_feedback_applied_in_position"),
        "feedback",
        ["applied_in", "position"],
        unique=False,
        sqlite_where=sa.text("retracted_at IS NULL"),
        postgresql_where=sa.text("retracted_at IS NULL"),
    )
    op.create_index(
        op.f("ix_feedback_deployment_learned_position"),
        "feedback",
        ["deployment", "learned", "position"],
        unique=False,
        sqlite_where=sa.text("retracted_at IS NULL"),
        postgresql_where=sa.text("retracted_at IS NULL"),
    )
    op.create_index(
        op.f("ix_feedback_deployment_position"),
        "feedback",
        ["deployment", "position"],
        unique=False,
        sqlite_where=sa.text("retracted_at IS NULL"),
        postgresql_where=sa.text("retracted_at IS NULL"),
    )
    op.create_index(
        op.f("ix_feedback_learned_position"),
        "feedback",
        ["learned", "position"],
        unique=False,
        sqlite_where=sa.text("retracted_at IS NULL"),
        postgresql_where=sa.text("retracted_at IS NULL"),
    )
    op.create_index(
        op.f("ix_feedback_prediction_id_position"),
        "feedback",
        ["prediction_id", "position"],
        unique=False,
        sqlite_where=sa.text("retracted_at IS NULL"),
        postgresql_where=sa.text("retracted_at IS NULL"),
    )


def _counters() -> None:
    op.create_table(
        "counters",
        sa.Column("noun", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("noun", "owner", name=op.f("pk_counters")),
    )


def _idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)
