"""How many items of feedback a version has learned from, by kind and source, kept instead of counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the table, and count what is there."""
    op.create_table(
        "learned_counts",
        sa.Column("model", sa.String(160), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("named", sa.Boolean(), nullable=False),
        sa.Column("source", sa.String(128), nullable=False),
        sa.Column("items", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", "kind", "named", "source", name=op.f("pk_learned_counts")),
    )
    op.execute(
        "INSERT INTO learned_counts (model, kind, named, source, items) "
        "SELECT applied_in, kind, source IS NOT NULL, COALESCE(source, ''), COUNT(*) FROM feedback "
        "WHERE applied_in IS NOT NULL AND retracted_at IS NULL "
        "GROUP BY applied_in, kind, source IS NOT NULL, COALESCE(source, '')"
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("learned_counts")
