"""Candidates that wait with what they learned from, what made a revision, and what shadows measured of values."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table and the columns."""
    op.create_table(
        "candidate_feedback",
        sa.Column("deployment", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=160), nullable=False),
        sa.Column("feedback", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("deployment", "model", "feedback", name=op.f("pk_candidate_feedback")),
    )
    op.create_index(op.f("ix_candidate_feedback_model"), "candidate_feedback", ["model"], unique=False)
    op.add_column(
        "revisions", sa.Column("cause", sa.String(length=16), nullable=False, server_default=sa.text("'change'"))
    )
    for name, kind in (("measured", sa.BigInteger()), ("difference", sa.Float()), ("dropped", sa.BigInteger())):
        op.add_column("observations", sa.Column(name, kind, nullable=False, server_default=sa.text("0")))


def downgrade() -> None:
    """Drop them."""
    for name in ("dropped", "difference", "measured"):
        op.drop_column("observations", name)
    op.drop_column("revisions", "cause")
    op.drop_table("candidate_feedback")
