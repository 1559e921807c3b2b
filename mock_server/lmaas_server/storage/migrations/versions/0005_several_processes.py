"""Which process of a server works on the request of an idempotency key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column."""
    op.add_column("idempotency_keys", sa.Column("owner", sa.String(64), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("idempotency_keys", "owner")
