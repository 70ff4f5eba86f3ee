"""Budgets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("value", sa.Text),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("rolling_hours", sa.Integer),
        sa.Column("timezone", sa.Text),
        sa.Column("soft_usd", sa.Text),
        sa.Column("hard_usd", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("deleted_at", sa.BigInteger),
    )


def downgrade() -> None:
    op.drop_table("budgets")
