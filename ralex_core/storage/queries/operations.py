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
IN_REQUEST = "provider_request_id = $id"


def operation(store: Store, operation_id: str, near_us: int | None = None) -> Operation | None:
    """One operation, or None when there is none of this id.

    `near_us` is about when it started: with it the look-up touches one day instead of all of history.
    """
    rows = _near(store, WITH_ID, operation_id, near_us)
    return Operation._make(rows[0]) if rows else None


def trace(store: Store, trace_id: str, limit: int = 500, near_us: int | None = None) -> list[Operation]:
    """The operations of one trace by start time, at most `limit`. `near_us` as for `operation`."""
    tail = f"order by started_at, operation_id limit {int(limit)}"
    return [Operation._make(row) for row in _near(store, IN_TRACE, trace_id, near_us, tail)]


def _near(store: Store, where: str, id: str, near_us: int | None, tail: str = "") -> list[tuple[Any, ...]]:
    """Operations with an id. They are found by the columns of the id alone: few rows are worth reading whole."""
    rows = f"select {_COLUMNS} from operations where rowid in (select rowid from operations where {where}"
    if near_us is not None:
        found = store.query(
            f"{rows} and started_at between $low and $high) {tail}",
            {"id": id, "low": near_us - DAY_US // 2, "high": near_us + DAY_US // 2},
        )
        if found:
            return found
    return store.query(f"{rows}) {tail}", {"id": id})


def recent_operations(store: Store, since_us: int, limit: int | None = None) -> list[Operation]:
    """Operations that started at or after `since_us`, newest first."""
    cap = "" if limit is None else f" limit {int(limit)}"
    rows = store.query(
        f"select {_COLUMNS} from operations where started_at >= $since order by started_at desc, operation_id{cap}",
        {"since": since_us},
    )
    return [Operation._make(row) for row in rows]
