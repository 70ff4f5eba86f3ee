"""What becomes known later about an operation, written to it."""

from __future__ import annotations

import duckdb

from ralex_core.storage.schema import COST_BIN, id_hash
from ralex_core.storage.telemetry import Amendment

_ONE = f"id_hash = {id_hash('$operation_id')} and operation_id = $operation_id"
_AMEND = f"""
    update operations set
        outcome = coalesce($outcome, outcome),
        value_usd = coalesce($value_usd::DECIMAL(38,18), value_usd),
        cost_usd = case when $accept then coalesce(
            case when quarantine = 'billed' then billed_usd end, cost_usd,
            case when quarantine = 'reported' then reported_usd end) else cost_usd end,
        cost_basis = case
            when not $accept or quarantine is null then cost_basis
            when quarantine = 'billed' then 'billed'
            when cost_usd is null then 'reported'
            else cost_basis end,
        quarantine = case when $accept then null else quarantine end
    where {_ONE}
    returning started_at
"""
_BIN_AGAIN = f"update operations set cost_bin = {COST_BIN} where {_ONE}"


def amend(connection: duckdb.DuckDBPyConnection, amendment: Amendment) -> list[int]:
    """Change the operation inside the caller's transaction; returns when it started, nothing when it is not stored."""
    parameters = {
        "operation_id": amendment.operation_id,
        "outcome": amendment.outcome,
        "value_usd": None if amendment.value_usd is None else str(amendment.value_usd),
        "accept": amendment.accept_claim,
    }
    started = [started_at for (started_at,) in connection.execute(_AMEND, parameters).fetchall()]
    if amendment.accept_claim:
        connection.execute(_BIN_AGAIN, {"operation_id": amendment.operation_id})
    return started
