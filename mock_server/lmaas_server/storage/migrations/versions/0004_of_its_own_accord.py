"""Updates a deployment starts of its own accord, what guards its canaries, and whether feedback speaks well or ill."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_LIVE = sa.text("retracted_at IS NULL")
_SOURCED = sa.text("retracted_at IS NULL AND source IS NOT NULL")
_JUDGED = sa.text("retracted_at IS NULL AND verdict IS NOT NULL")
_INDICES = {
    "ix_feedback_kind_position": (["kind", "position"], _LIVE),
    "ix_feedback_deployment_kind_position": (["deployment", "kind", "position"], _LIVE),
    "ix_feedback_source_position": (["source", "position"], _SOURCED),
    "ix_feedback_deployment_model_kind_predicted_at": (["deployment", "model", "kind", "predicted_at"], _JUDGED),
}


def upgrade() -> None:
    """Add the columns and the indices."""
    op.add_column("deployments", sa.Column("guard", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("trigger", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("feedback_position", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("alarm_seq", sa.Integer(), nullable=True))
    op.add_column("feedback", sa.Column("verdict", sa.Boolean(), nullable=True))
    op.add_column("feedback", sa.Column("predicted_at", sa.Float(), nullable=True))
    for name, (columns, where) in _INDICES.items():
        op.create_index(op.f(name), "feedback", columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    """Drop them."""
    for name in _INDICES:
        op.drop_index(op.f(name), "feedback")
    for table, columns in (
        ("feedback", ("predicted_at", "verdict")),
        ("jobs", ("alarm_seq", "feedback_position", "trigger")),
        ("deployments", ("guard",)),
    ):
        for column in columns:
            op.drop_column(table, column)
