"""What a deployment is seen to do: its events, its figures by the minute, and what the watch for drift remembers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    _deployment_events()
    _observations()
    _detectors()


def downgrade() -> None:
    """Drop the tables."""
    for table in ("detectors", "observations", "deployment_events"):
        op.drop_table(table)


def _deployment_events() -> None:
    op.create_table(
        "deployment_events",
        sa.Column("deployment", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment"], ["deployments.name"], name=op.f("fk_deployment_events_deployment"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("deployment", "seq", name=op.f("pk_deployment_events")),
        sa.UniqueConstraint("id", name=op.f("uq_deployment_events_id")),
    )


def _observations() -> None:
    op.create_table(
        "observations",
        sa.Column("deployment", sa.String(length=64), nullable=False),
        sa.Column("begin", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("model", sa.String(length=160), nullable=False),
        sa.Column("shadow", sa.Boolean(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("row_errors", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("latency", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("confident", sa.BigInteger(), nullable=False),
        sa.Column("labelled", sa.BigInteger(), nullable=False),
        sa.Column("correct", sa.BigInteger(), nullable=False),
        sa.Column("feedback", sa.Text(), nullable=False),
        sa.Column("ratings", sa.Text(), nullable=False),
        sa.Column("compared", sa.BigInteger(), nullable=False),
        sa.Column("agreed", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment"], ["deployments.name"], name=op.f("fk_observations_deployment"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("deployment", "begin", "model", "shadow", name=op.f("pk_observations")),
    )
    op.create_index(op.f("ix_observations_begin"), "observations", ["begin"], unique=False)


def _detectors() -> None:
    op.create_table(
        "detectors",
        sa.Column("deployment", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=160), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment"], ["deployments.name"], name=op.f("fk_detectors_deployment"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("deployment", "model", name=op.f("pk_detectors")),
    )
    op.create_index(op.f("ix_detectors_updated_at"), "detectors", ["updated_at"], unique=False)
