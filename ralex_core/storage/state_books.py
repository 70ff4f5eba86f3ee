"""What closing the books keeps in the state store: accepted claims, reconciliations and the look-ups of generations."""

from __future__ import annotations

import sqlalchemy as sa

from ralex_core.storage import state_tables as tables
from ralex_core.storage.state import StateStore

ACCEPTED = "accept-claim"
"""The action under which a person's decision about a quarantined claim is in the audit log."""


def accepted_claims(state: StateStore) -> dict[str, str]:
    """Operation → which of its claims (billed, reported) a person has taken back into the totals."""
    statement = (
        sa.select(tables.audit.c.subject, tables.audit.c.detail)
        .where(tables.audit.c.action == ACCEPTED)
        .order_by(tables.audit.c.id)
    )
    with state.reading() as connection:
        return {row.subject: (row.detail or "").partition(" ")[0] for row in connection.execute(statement)}
