"""Reconciliation with the provider: runs, findings, and the look-ups of single calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("message", sa.Text),
        sa.Column("looked_up", sa.Integer, nullable=False),
        sa.Column("billed", sa.Integer, nullable=False),
        sa.Column("not_found", sa.Integer, nullable=False),
        sa.Column("unclear", sa.Integer, nullable=False),
        sa.Column("remaining", sa.Integer, nullable=False),
        sa.Column("before_usd", sa.Text, nullable=False),
        sa.Column("after_usd", sa.Text, nullable=False),
    )
    op.create_table(
        "reconciliation_findings",
        sa.Column("run_id", sa.Integer, sa.ForeignKey("reconciliations.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("period", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("start_at", sa.BigInteger, nullable=False),
        sa.Column("end_at", sa.BigInteger, nullable=False),
        sa.Column("theirs_usd", sa.Text, nullable=False),
        sa.Column("ours_usd", sa.Text, nullable=False),
        sa.Column("theirs_calls", sa.BigInteger),
        sa.Column("ours_calls", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("explanation", sa.Text, nullable=False),
    )
    op.create_table(
        "generation_lookups",
        sa.Column("generation_id", sa.Text, primary_key=True),
        sa.Column("operation_id", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("next_at", sa.BigInteger),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("billed_usd", sa.Text),
        sa.Column("is_byok", sa.Boolean),
        sa.Column("upstream", sa.Text),
    )
    op.create_index("ix_generation_lookups_operation_id", "generation_lookups", ["operation_id"])


def downgrade() -> None:
    for table in ("generation_lookups", "reconciliation_findings", "reconciliations"):
        op.drop_table(table)
