"""Questions about whole traces: pages of them, and a bounded sample with what ran beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ralex_core.model.operation import Operation
from ralex_core.model.window import DAY_US, HOUR_US, Scope, Window
from ralex_core.storage.queries.segments import conditions
from ralex_core.storage.telemetry import Store

_READ = (
    "operation_id",
    "kind",
    "name",
    "started_at",
    "duration_ms",
    "status",
    "trace_id",
    "span_id",
    "parent_span_id",
    "ttft_ms",
    "error_type",
    "attempt",
    "provider",
    "model",
    "input_tokens",
)
"""What a sample holds of an operation: a third of the columns, read in half the time."""

TRACE_SORTS = ("started_at", "duration_ms", "operations", "errors", "cost_usd")
MAX_LIMIT = 200
AROUND_US = DAY_US // 2
"""A trace is taken whole when it reaches this far out of the window."""
SLOW = 0.9
"""Traces from this quantile of durations on are one half of a sample, so that its tail is dense."""
_LENGTH = "max(started_at + greatest(coalesce(duration_ms, 0), 0) * 1000) - min(started_at)"


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One trace, whole, also where it reaches out of the window. `duration_ms` is from first start to last end."""

    trace_id: str
    started_at: int
    duration_ms: float
    operations: int
    errors: int
    cost_usd: Decimal | None
    """None when nothing in it has a known cost."""
    operation_id: str
    """Of its root: the first operation without a parent, else the first."""
    kind: str
    name: str
    service: str | None
    project: str | None


@dataclass(frozen=True, slots=True)
class TracesPage:
    """A page of traces and how many there are in all."""

    rows: list[TraceRow]
    total: int


def _chosen(scope: Scope, parameters: dict[str, Any]) -> str:
    """` and …` for the traces in which any operation passes the filters."""
    condition = conditions(scope.filters, parameters)
    if not condition:
        return ""
    return (
        f" and trace_id in (select trace_id from operations where started_at >= $low and started_at < $high{condition})"
    )


def traces_page(
    store: Store,
    scope: Scope,
    *,
    sort: str = "started_at",
    descending: bool = True,
    limit: int = 50,
    offset: int = 0,
    errors: bool = False,
    search: str | None = None,
) -> TracesPage:
    """Traces with an operation that started in the window and passes the filters, in the order asked for.

    `errors`: only traces in which something failed. `search`: part of the name of any of its operations in any case,
    or a whole trace id.

    Raises:
        ValueError: `sort` is not one of `TRACE_SORTS`.
    """
    if sort not in TRACE_SORTS:
        raise ValueError(f"cannot sort by {sort!r}; choose one of {', '.join(TRACE_SORTS)}")
    parameters: dict[str, Any] = {"low": scope.window.start_us, "high": scope.window.end_us}
    where = _chosen(scope, parameters)
    if search:
        parameters |= {"text": search.strip().lower(), "id": search.strip()}
        where += (
            " and trace_id in (select trace_id from operations where started_at >= $low and started_at < $high "
            "and (contains(lower(name), $text) or trace_id = $id))"
        )
    having = " having count(*) filter (status = 'error') > 0" if errors else ""
    measure = {
        "started_at": "min(started_at)",
        "duration_ms": _LENGTH,
        "operations": "count(*)",
        "errors": "count(*) filter (status = 'error')",
        "cost_usd": "sum(cost_usd)",
    }[sort]
    grouped = (
        f"select any_value(trace_id) as trace_id, {measure} as measure from operations "
        f"where started_at >= $low and started_at < $high and trace_id is not null{where} "
        f"group by hash(trace_id){having}"
    )
    total = store.query(f"select count(*) from ({grouped})", parameters)[0][0]
    direction = "desc" if descending else "asc"
    found: list[tuple[Any, ...]] = []
    for low, high in _reach(scope.window, sort, descending):
        found = store.query(
            f"select trace_id from ({grouped}) order by measure {direction} nulls last, trace_id "
            f"limit {min(limit, MAX_LIMIT)} offset {max(offset, 0)}",
            parameters | {"low": low, "high": high},
        )
        if len(found) == min(limit, MAX_LIMIT):
            break
    ids = [row[0] for row in found]
    rows = {row.trace_id: row for row in _rows(store, ids, scope.window)}
    return TracesPage([rows[trace_id] for trace_id in ids if trace_id in rows], total)


def _reach(window: Window, sort: str, descending: bool) -> list[tuple[int, int]]:
    """Windows to look for a page in: the newest traces are usually within the last hour."""
    whole = (window.start_us, window.end_us)
    if sort != "started_at" or not descending:
        return [whole]
    spans = [span for span in (HOUR_US, DAY_US) if span < window.length_us]
    return [*((window.end_us - span, window.end_us) for span in spans), whole]


def _rows(store: Store, ids: Sequence[str], window: Window) -> list[TraceRow]:
    if not ids:
        return []
    # the root is the first without a parent; only then the first of all
    first = "(parent_span_id is not null, started_at, operation_id)"
    rows = store.query(
        f"select trace_id, min(started_at), ({_LENGTH}) / 1000, count(*), count(*) filter (status = 'error'), "
        f"sum(cost_usd), arg_min(operation_id, {first}), arg_min(kind, {first}), arg_min(name, {first}), "
        f"arg_min(service, {first}), arg_min(project, {first}) from operations "
        "where started_at >= $low and started_at < $high and trace_id in (select unnest($ids::VARCHAR[])) "
        "group by trace_id",
        {"low": window.start_us - AROUND_US, "high": window.end_us + AROUND_US, "ids": list(ids)},
    )
    return [TraceRow(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class TraceSample:
    """Whole traces, each with how many traces of the window it stands for.

    Operations have the fields that times and causes are read from (`_READ`); the others are at their defaults.
    """

    traces: list[list[Operation]]
    weights: list[float]
    total: int
    """Traces in the window."""
    too_large: int
    """Traces that were passed over because they did not fit into the limit of operations."""


def sample_traces(store: Store, scope: Scope, *, traces: int = 400, operations: int = 20_000) -> TraceSample:
    """At most `traces` traces of the window with at most `operations` operations: the slowest tenth and the rest.

    Half are drawn from the slowest tenth (all of it, when it is less) and the others from the rest. The draw is by a
    hash of the trace id: the same data gives the same sample.
    """
    parameters: dict[str, Any] = {"low": scope.window.start_us, "high": scope.window.end_us}
    where = _chosen(scope, parameters)
    rows = store.query(
        f"""
        with traces as materialized (
            select any_value(trace_id) as trace_id, hash(trace_id) as draw, {_LENGTH} as length, count(*) as size
            from operations
            where started_at >= $low and started_at < $high and trace_id is not null{where}
            group by hash(trace_id)
        ),
        edge as (
            select quantile_disc(length, {SLOW}) as edge from traces
        ),
        halves as (
            select trace_id, draw, size, length >= edge as slow from traces, edge
        ),
        counted as (
            select slow, count(*) as number from halves group by slow
        ),
        drawn as (
            (select * from halves where slow order by draw, trace_id limit {int(traces) // 2})
            union all
            (select * from halves where not slow order by draw, trace_id limit {int(traces)})
        )
        select trace_id, slow, size, number
        from drawn join counted using (slow)
        order by slow desc, draw, trace_id
        """,
        parameters,
    )
    weights: dict[str, float] = {}
    total = too_large = 0
    for slow in (True, False):
        half = [row for row in rows if row[1] is slow][: traces - len(weights) if not slow else None]
        left, taken = operations // 2, list[str]()
        for trace_id, _, size, _ in half:
            if size <= left:
                left -= size
                taken.append(trace_id)
            else:
                too_large += 1
        number = half[0][3] if half else 0
        total += number
        weights |= {trace_id: number / len(taken) for trace_id in taken}
    return _sampled(store, scope.window, weights, total, too_large, operations)


def _sampled(
    store: Store, window: Window, weights: dict[str, float], total: int, too_large: int, limit: int
) -> TraceSample:
    found: dict[str, list[Operation]] = {trace_id: [] for trace_id in weights}
    if found:
        rows = store.query(
            f"select {', '.join(_READ)} from operations where started_at >= $low and started_at < $high "
            f"and trace_id in (select unnest($ids::VARCHAR[])) limit {2 * limit}",
            {"low": window.start_us - AROUND_US, "high": window.end_us + AROUND_US, "ids": list(weights)},
        )
        for row in rows:
            operation = Operation(**dict(zip(_READ, row, strict=True)))
            found[operation.trace_id or ""].append(operation)
    kept = [(found[trace_id], weight) for trace_id, weight in weights.items() if found[trace_id]]
    return TraceSample([spans for spans, _ in kept], [weight for _, weight in kept], total, too_large)


def timings(
    store: Store, window: Window, keys: Sequence[tuple[str, str]], *, limit: int = 40_000
) -> dict[tuple[str, str], tuple[list[float], list[float]]]:
    """Starts and ends (UTC µs) of every finished operation of these kinds and names, the newest `limit` of each."""
    found: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    for kind, name in keys:
        starts, ends = store.query(
            "select list(started_at::DOUBLE), list(started_at + duration_ms * 1000) from ("
            "select started_at, duration_ms from operations where started_at >= $low and started_at < $high "
            f"and kind = $kind and name = $name and duration_ms >= 0 order by started_at desc limit {int(limit)})",
            {"low": window.start_us - HOUR_US, "high": window.end_us, "kind": kind, "name": name},
        )[0]
        if starts:
            found[kind, name] = (starts, ends)
    return found
