"""Single operations: one, a whole trace, the latest."""

from __future__ import annotations

from typing import Any

from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US
from ralex_core.storage.schema import id_hash
from ralex_core.storage.telemetry import Store

_COLUMNS = ", ".join(Operation._fields)

WITH_ID = f"id_hash = {id_hash('$id')} and operation_id = $id"
IN_TRACE = f"trace_hash = {id_hash('$id')} and trace_id = $id"


def operation(store: Store, operation_id: str, near_us: int | None = None) -> Operation | None:
    """One operation, or None when there is none of this id.

    `near_us` is about when it started: with it the look-up touches one day instead of all of history.
    """
    rows = _near(store, WITH_ID, {"id": operation_id}, near_us, "limit 1")
    return Operation._make(rows[0]) if rows else None


def trace(store: Store, trace_id: str, limit: int = 500, near_us: int | None = None) -> list[Operation]:
    """The operations of one trace by start time, at most `limit`. `near_us` as for `operation`."""
    tail = f"order by started_at, operation_id limit {int(limit)}"
    return [Operation._make(row) for row in _near(store, IN_TRACE, {"id": trace_id}, near_us, tail)]


def _near(
    store: Store, where: str, parameters: dict[str, Any], near_us: int | None, tail: str
) -> list[tuple[Any, ...]]:
    if near_us is not None:
        bounds = {"low": near_us - DAY_US // 2, "high": near_us + DAY_US // 2}
        rows = store.query(
            f"select {_COLUMNS} from operations where started_at between $low and $high and {where} {tail}",
            parameters | bounds,
        )
        if rows:
            return rows
    return store.query(f"select {_COLUMNS} from operations where {where} {tail}", parameters)


def recent_operations(store: Store, since_us: int, limit: int | None = None) -> list[Operation]:
    """Operations that started at or after `since_us`, newest first."""
    cap = "" if limit is None else f" limit {int(limit)}"
    rows = store.query(
        f"select {_COLUMNS} from operations where started_at >= $since order by started_at desc, operation_id{cap}",
        {"since": since_us},
    )
    return [Operation._make(row) for row in rows]
