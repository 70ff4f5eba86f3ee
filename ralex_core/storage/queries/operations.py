"""Single operations: pages of them, one, and a whole trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, HOUR_US, Scope, Window
from ralex_core.storage.queries.segments import conditions
from ralex_core.storage.telemetry import Store

_COLUMNS = ", ".join(Operation._fields)

SORTS = ("started_at", "duration_ms", "cost_usd", "input_tokens", "output_tokens", "name", "model")
EXACT_COLUMNS = ("name", "provider", "service", "client", "feature", "workflow", "door")
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
    exactly: Sequence[tuple[str, str]] = (),
) -> OperationsPage:
    """Operations that started in the window, in the order asked for; unknown values come last.

    `search` is a case-insensitive part of a name, model or user, or a whole operation, trace, session or request id.
    `exactly` names columns of `EXACT_COLUMNS` and their value; an empty one means "not known".

    Raises:
        ValueError: `sort` is not one of `SORTS`, or a column is not one of `EXACT_COLUMNS`.
    """
    if sort not in SORTS:
        raise ValueError(f"cannot sort by {sort!r}; choose one of {', '.join(SORTS)}")
    parameters: dict[str, Any] = {}
    where = conditions(scope.filters, parameters)
    for column, value in (("kind", kind), ("status", status), ("cost_basis", basis)):
        if value:
            parameters[column] = value
            where += f" and {column} = ${column}"
    for column, value in exactly:
        if column not in EXACT_COLUMNS:
            raise ValueError(f"cannot select by {column!r}; choose one of {', '.join(EXACT_COLUMNS)}")
        if value:
            parameters[f"exact_{column}"] = value
            where += f" and {column} = $exact_{column}"
        else:
            where += f" and {column} is null"
    if quarantined:
        where += " and quarantine is not null"
    if search:
        where += _matching(store, search, parameters)
    parameters |= {"low": scope.window.start_us, "high": scope.window.end_us}
    counted = store.query(
        "select count(*) from (select 1 from operations where started_at >= $low and started_at < $high"
        f"{where} limit {COUNT_UP_TO + 1})",
        parameters,
    )[0][0]
    direction = "desc" if descending else "asc"
    wanted = range(max(offset, 0), max(offset, 0) + min(limit, MAX_LIMIT))
    order = f"{sort} {direction} nulls last, rowid {direction}"
    ids: list[tuple[Any, ...]] = []
    for low, high in _reach(scope.window, sort, descending):
        # Row ids first: sorting a few bytes a row instead of forty-five columns keeps a page of many rows quick.
        ids = store.query(
            "select rowid from operations where started_at >= $low and started_at < $high"
            f"{where} order by {order} limit {len(wanted)} offset {wanted.start}",
            parameters | {"low": low, "high": high},
        )
        if len(ids) == len(wanted) or (low, high) == (scope.window.start_us, scope.window.end_us):
            break
    rows = store.query(
        f"select {_COLUMNS} from operations where rowid in (select unnest($ids::BIGINT[])) order by {order}",
        {"ids": [row[0] for row in ids]},
    )
    return OperationsPage([Operation._make(row) for row in rows], min(counted, COUNT_UP_TO), counted <= COUNT_UP_TO)


def _reach(window: Window, sort: str, descending: bool) -> list[tuple[int, int]]:
    """Windows to look for a page in. Sorted by time, the newest (or oldest) hour usually holds it: ever wider ones."""
    whole = (window.start_us, window.end_us)
    if sort != "started_at":
        return [whole]
    spans = [span for span in (HOUR_US, DAY_US, 7 * DAY_US) if span < window.length_us]
    if descending:
        return [*((window.end_us - span, window.end_us) for span in spans), whole]
    return [*((window.start_us, window.start_us + span) for span in spans), whole]


def _matching(store: Store, search: str, parameters: dict[str, Any]) -> str:
    """` and …` for a text people type: part of a name, model or user, or a whole id.

    Names, models and users are few: they are matched in the rollups, and the operations only by the names found.
    """
    parameters["id"] = search.strip()
    found: list[str] = []
    for column, cube in (("name", "name"), ("model", "model"), ("user_id", "user")):
        rows = store.query(
            f"select distinct {column} from rollup_{cube}_day where contains(lower({column}), $text)",
            {"text": search.strip().lower()},
        )
        if rows:
            parameters[f"s_{column}"] = [row[0] for row in rows]
            found.append(f"{column} in (select unnest($s_{column}::VARCHAR[]))")
    found += [f"{column} = $id" for column in ("operation_id", "trace_id", "session_id", "provider_request_id")]
    return f" and ({' or '.join(found)})"


def operation(store: Store, operation_id: str, near_us: int | None = None) -> Operation | None:
    """One operation, or None when there is none of this id.

    `near_us` is about when it started: with it the look-up touches one day instead of all of history.
    """
    rows = _near(store, "operation_id = $id", {"id": operation_id}, near_us, "limit 1")
    return Operation._make(rows[0]) if rows else None


def trace(store: Store, trace_id: str, limit: int = 500, near_us: int | None = None) -> list[Operation]:
    """The operations of one trace by start time, at most `limit`. `near_us` as for `operation`."""
    tail = f"order by started_at, operation_id limit {int(limit)}"
    return [Operation._make(row) for row in _near(store, "trace_id = $id", {"id": trace_id}, near_us, tail)]


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
