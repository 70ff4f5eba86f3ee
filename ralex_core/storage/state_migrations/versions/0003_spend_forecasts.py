"""Forecasts of spend, and what came of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "spend_forecasts",
        sa.Column("horizon", sa.Text, primary_key=True),
        sa.Column("period_start", sa.BigInteger, primary_key=True),
        sa.Column("quarter", sa.Integer, primary_key=True),
        sa.Column("period_end", sa.BigInteger, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("so_far_usd", sa.Text, nullable=False),
        sa.Column("mean_usd", sa.Text, nullable=False),
        sa.Column("low_usd", sa.Text, nullable=False),
        sa.Column("high_usd", sa.Text, nullable=False),
        sa.Column("naive_usd", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("origins", sa.Integer, nullable=False),
        sa.Column("wape", sa.Float),
        sa.Column("naive_wape", sa.Float),
        sa.Column("within_15_ratio", sa.Float),
        sa.Column("naive_within_15_ratio", sa.Float),
        sa.Column("coverage_ratio", sa.Float),
        sa.Column("claimed", sa.Boolean, nullable=False),
        sa.Column("actual_usd", sa.Text),
        sa.Column("judged_at", sa.BigInteger),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("spend_forecasts")
