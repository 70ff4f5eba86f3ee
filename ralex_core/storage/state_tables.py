"""The tables of the state store, and the one statement they all need.

A repository of its own (a module `state_…` beside this one) works on `StateStore.reading` and `StateStore.writing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

REVISIONS = ("0001", "0002", "0003", "0004")
"""Every revision of the schema, oldest first; the last one is what this code reads and writes."""

metadata = sa.MetaData()

settings = sa.Table(
    "settings",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)

cursors = sa.Table(
    "import_cursors",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("path", sa.Text, primary_key=True),
    sa.Column("position", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("modified_at", sa.BigInteger, nullable=False),
    sa.Column("complete", sa.Boolean, nullable=False),
    sa.Column("follow", sa.Boolean, nullable=False),
    sa.Column("lines", sa.BigInteger, nullable=False),
    sa.Column("imported", sa.BigInteger, nullable=False),
    sa.Column("duplicates", sa.BigInteger, nullable=False),
    sa.Column("rejected", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)

memory = sa.Table(
    "import_memory",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)

audit = sa.Table(
    "audit_log",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("detail", sa.Text),
)

budgets = sa.Table(
    "budgets",
    metadata,
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
"""Amounts are decimal text. A deleted budget keeps its row for a while, so that it can be brought back."""

spend_forecasts = sa.Table(
    "spend_forecasts",
    metadata,
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
"""Forecasts as they were made, each with its back-test, and what came of them. Amounts are decimal text."""


reconciliations = sa.Table(
    "reconciliations",
    metadata,
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
"""Runs. `before_usd` and `after_usd` (decimal text) are what the calls that got a bill cost without and with it."""

findings = sa.Table(
    "reconciliation_findings",
    metadata,
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
"""What the provider says of a UTC period, and what is stored. An empty model is all of them."""

lookups = sa.Table(
    "generation_lookups",
    metadata,
    sa.Column("generation_id", sa.Text, primary_key=True),
    sa.Column("operation_id", sa.Text, nullable=False, index=True),
    sa.Column("asked_at", sa.BigInteger, nullable=False),
    sa.Column("next_at", sa.BigInteger),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("billed_usd", sa.Text),
    sa.Column("is_byok", sa.Boolean),
    sa.Column("upstream", sa.Text),
)
"""Calls that were asked for, one by one. `next_at` None: not asked again."""


def upsert(table: sa.Table, row: Mapping[str, Any] | None = None) -> Any:
    """Insert a row, or replace what is stored under its primary key."""
    statement = insert(table) if row is None else insert(table).values(**row)
    keys: Sequence[str] = [column.name for column in table.primary_key]
    changed = {column.name: statement.excluded[column.name] for column in table.c if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)
