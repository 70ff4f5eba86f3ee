"""Single operations: pages of them, one, and a whole trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ralex_core.model.operation import Operation
from ralex_core.model.window import Scope
from ralex_core.storage.queries.segments import conditions
from ralex_core.storage.telemetry import Store

_COLUMNS = ", ".join(Operation._fields)

SORTS = ("started_at", "duration_ms", "cost_usd", "input_tokens", "output_tokens", "name", "model")
MAX_LIMIT = 500
COUNT_UP_TO = 100_000
"""Exact totals of a page are counted this far; beyond it the page says "more than"."""


@dataclass(frozen=True, slots=True)
class OperationsPage:
    """A page of operations and how many there are in all (`total_is_exact` False: at least that many)."""

    rows: list[Operation]
    total: int
    total_is_exact: bool


def operations_page(
    store: Store,
    scope: Scope,
    *,
    sort: str = "started_at",
    descending: bool = True,
    limit: int = 50,
    offset: int = 0,
    kind: str | None = None,
    status: str | None = None,
    basis: str | None = None,
    quarantined: bool = False,
    search: str | None = None,
) -> OperationsPage:
    """Operations that started in the window, in the order asked for; unknown values come last.

    `search` is a case-insensitive part of a name, model, session, user or operation id.

    Raises:
        ValueError: `sort` is not one of `SORTS`.
    """
    if sort not in SORTS:
        raise ValueError(f"cannot sort by {sort!r}; choose one of {', '.join(SORTS)}")
    parameters: dict[str, Any] = {"low": scope.window.start_us, "high": scope.window.end_us}
    where = "where started_at >= $low and started_at < $high" + conditions(scope.filters, parameters)
    for column, value in (("kind", kind), ("status", status), ("cost_basis", basis)):
        if value:
            parameters[column] = value
            where += f" and {column} = ${column}"
    if quarantined:
        where += " and quarantine is not null"
    if search:
        parameters["search"] = search.lower()
        columns = ("name", "model", "session_id", "user_id", "operation_id", "trace_id")
        where += f" and ({' or '.join(f'contains(lower({column}), $search)' for column in columns)})"
    counted = store.query(
        f"select count(*) from (select 1 from operations {where} limit {COUNT_UP_TO + 1})", parameters
    )[0][0]
    direction = "desc" if descending else "asc"
    order = f"{sort} {direction} nulls last, operation_id"
    # Row ids first: sorting eight bytes a row instead of forty-five columns keeps a page of ten million rows quick.
    rows = store.query(
        f"select {_COLUMNS} from operations where rowid in "
        f"(select rowid from operations {where} order by {order} "
        f"limit {min(limit, MAX_LIMIT)} offset {max(offset, 0)}) "
        f"order by {order}",
        parameters,
    )
    return OperationsPage([Operation._make(row) for row in rows], min(counted, COUNT_UP_TO), counted <= COUNT_UP_TO)


def operation(store: Store, operation_id: str) -> Operation | None:
    """One operation, or None when there is none of this id."""
    rows = store.query(f"select {_COLUMNS} from operations where operation_id = $id limit 1", {"id": operation_id})
    return Operation._make(rows[0]) if rows else None


def trace(store: Store, trace_id: str, limit: int = 500) -> list[Operation]:
    """The operations of one trace by start time, at most `limit`."""
    rows = store.query(
        f"select {_COLUMNS} from operations where trace_id = $id order by started_at, operation_id limit {int(limit)}",
        {"id": trace_id},
    )
    return [Operation._make(row) for row in rows]


def recent_operations(store: Store, since_us: int, limit: int | None = None) -> list[Operation]:
    """Operations that started at or after `since_us`, newest first."""
    cap = "" if limit is None else f" limit {int(limit)}"
    rows = store.query(
        f"select {_COLUMNS} from operations where started_at >= $since order by started_at desc, operation_id{cap}",
        {"since": since_us},
    )
    return [Operation._make(row) for row in rows]
