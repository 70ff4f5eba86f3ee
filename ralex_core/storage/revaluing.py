"""Stored operations whose usage, bill or price is corrected: read as they are, decided anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import duckdb

from ralex_core.model.operation import Operation
from ralex_core.storage.telemetry import REVALUED_FIELDS, Revalued

_KEPT = tuple(place for place, name in enumerate(Operation._fields) if name not in REVALUED_FIELDS)


def changed(
    connection: duckdb.DuckDBPyConnection,
    ids: Sequence[str],
    low_us: int,
    high_us: int,
    change: Callable[[Operation], Operation],
) -> list[Revalued]:
    """Those of the operations that `change` answers with something else, inside the caller's transaction.

    Raises:
        ValueError: it changed more than `REVALUED_FIELDS`.
    """
    rows = connection.execute(
        f"select {', '.join(Operation._fields)} from operations where started_at between $low and $high "
        "and operation_id in (select unnest($ids::VARCHAR[]))",
        {"ids": list(ids), "low": low_us, "high": high_us},
    ).fetchall()
    found: list[Revalued] = []
    for row in rows:
        before = Operation._make(row)
        after = change(before)
        if after == before:
            continue
        if any(before[place] != after[place] for place in _KEPT):
            raise ValueError(f"more than usage, bill and price of operation {before.operation_id} was changed")
        found.append(Revalued(before, after))
    return found
