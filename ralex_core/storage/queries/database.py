"""Questions about database statements: operations of kind `db`, whose name is the statement with its literals removed.

Counts, durations and percentiles come from rollups. What only attributes tell (system, rows returned) and what only
single operations tell (repetition under one parent) is read from the newest `SAMPLE` calls of the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ralex_core.model.window import HOUR_US, Scope
from ralex_core.stats.quantiles import value_of
from ralex_core.storage.queries.segments import conditions, measured, percentiles
from ralex_core.storage.telemetry import Store

SAMPLE = 5_000
"""Calls whose attributes are read."""
CALLERS_SAMPLE = 1_000
REPEATS = 10
"""A statement executed more often than this under one parent is a suspect: one query per row of another."""
MAX_SLOWEST = 20

_MEASURES = ("operations", "errors", "duration_ms", "timed")


@dataclass(frozen=True, slots=True)
class StatementFigures:
    """Calls of one statement. Durations in ms, None when none was timed; percentiles are within 1 %."""

    name: str
    calls: int
    errors: int
    total_ms: float
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None


def statement_figures(store: Store, scope: Scope) -> list[StatementFigures]:
    """Every statement of the window, the one that took most time in all first."""
    latency = percentiles(store, scope, (0.5, 0.95, 0.99, 1.0), group=("name",), kind="db")
    found: list[StatementFigures] = []
    for name, operations, errors, total_ms, timed in measured(store, scope, _MEASURES, group=("name",), kind="db"):
        if not operations:
            continue
        bins = latency.get((name,))
        p50, p95, p99, longest = (value_of(bin) for bin in bins[1:]) if bins else (None, None, None, None)
        mean = total_ms / timed if timed else None
        found.append(StatementFigures(name, operations, errors, total_ms, mean, p50, p95, p99, longest))
    return sorted(found, key=lambda row: (-row.total_ms, -row.calls, row.name))


@dataclass(frozen=True, slots=True)
class StatementTraits:
    """What the sampled calls of a statement tell. `rows` are those of `rows_known` calls."""

    calls: int
    rows: int
    rows_known: int
    system: str | None
    namespace: str | None
    hash: str | None


_NEWEST = """
    select rowid from operations where kind = 'db' and started_at >= $low and started_at < $high{where}
    order by started_at desc limit {limit}
"""

_PATHS = ("db.system.name", "db.namespace", "db.response.returned_rows", "db.query.hash")
_TRAITS = """
    with told as (
        select name, json_extract_string(attributes, [{paths}]) as told
        from operations where rowid in ({newest}))
    select name, count(*), coalesce(sum(try_cast(told[3] as BIGINT)), 0)::BIGINT,
        count(try_cast(told[3] as BIGINT)), max(told[1]), max(told[2]), max(told[4])
    from told group by name
"""


def statement_traits(store: Store, scope: Scope) -> dict[str, StatementTraits]:
    """Traits by statement, from the newest `SAMPLE` calls; statements without a call among them are absent."""
    where, parameters = _where(scope)
    paths = ", ".join(f"""'$."{path}"'""" for path in _PATHS)
    rows = store.query(_TRAITS.format(paths=paths, newest=_NEWEST.format(where=where, limit=SAMPLE)), parameters)
    return {row[0]: StatementTraits(*row[1:]) for row in rows}


@dataclass(frozen=True, slots=True)
class Repetition:
    """A statement executed many times under one parent: under `parents` of them, at worst `most` times."""

    name: str
    parents: int
    most: int
    trace_id: str
    operation_id: str
    """One of the calls, under the parent with the most."""


def repeated_statements(store: Store, scope: Scope) -> dict[str, Repetition]:
    """Statements executed more than `REPEATS` times under one parent, among the newest `SAMPLE` calls, by name."""
    where, parameters = _where(scope)
    newest = _NEWEST.format(where=f"{where} and parent_span_id is not null and trace_id is not null", limit=SAMPLE)
    rows = store.query(
        "select name, count(*), max(n), arg_max(trace_id, n), arg_max(operation_id, n) from ("
        "select name, trace_id, parent_span_id, count(*) as n, min(operation_id) as operation_id "
        f"from operations where rowid in ({newest}) "
        f"group by name, trace_id, parent_span_id having count(*) > {REPEATS}) group by name",
        parameters,
    )
    return {row[0]: Repetition(*row) for row in rows}


@dataclass(frozen=True, slots=True)
class StatementBucket:
    """Calls of one statement that started in one bucket; percentiles are within 1 %, None when none was timed."""

    start_us: int
    calls: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


def statement_over_time(store: Store, scope: Scope, name: str, bucket_us: int) -> list[StatementBucket]:
    """Buckets ascending; those without a call are absent."""
    only = {"name": name}
    latency = percentiles(store, scope, (0.5, 0.95, 0.99), bucket_us=bucket_us, kind="db", only=only)
    found: list[StatementBucket] = []
    counted = measured(store, scope, ("operations", "errors"), bucket_us=bucket_us, kind="db", only=only)
    for start_us, calls, errors in sorted(counted):
        bins = latency.get((start_us,))
        p50, p95, p99 = (value_of(bin) for bin in bins[1:]) if bins else (None, None, None)
        found.append(StatementBucket(start_us, calls, errors, p50, p95, p99))
    return found


@dataclass(frozen=True, slots=True)
class SlowCall:
    """A single call. `sample` is the statement with its literals, redacted, where the recorder kept it."""

    operation_id: str
    started_at: int
    duration_ms: float | None
    status: str
    error_type: str | None
    trace_id: str | None
    service: str | None
    rows: int | None
    sample: str | None


def slowest_calls(store: Store, scope: Scope, name: str, limit: int = 10) -> list[SlowCall]:
    """The slowest calls of a statement, slowest first, at most `MAX_SLOWEST`."""
    where, parameters = _where(scope, name)
    rows = store.query(
        "select operation_id, started_at, duration_ms, status, error_type, trace_id, service, "
        "try_cast(json_extract_string(attributes, '$.\"db.response.returned_rows\"') as BIGINT), "
        "json_extract_string(attributes, '$.\"db.query.sample\"') from operations where rowid in ("
        "select rowid from operations where kind = 'db' and duration_ms is not null and started_at >= $low "
        f"and started_at < $high{where} order by duration_ms desc limit {min(int(limit), MAX_SLOWEST)}) "
        "order by duration_ms desc, operation_id",
        parameters,
    )
    return [SlowCall(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Caller:
    """An operation under which a statement was executed: `calls` of the sample, under `parents` of that name."""

    kind: str
    name: str
    calls: int
    parents: int


def statement_callers(store: Store, scope: Scope, name: str, limit: int = 10) -> list[Caller]:
    """Who executed a statement, most calls first: of its newest `CALLERS_SAMPLE` calls that name a parent."""
    where, parameters = _where(scope, name)
    newest = _NEWEST.format(where=f"{where} and parent_span_id is not null", limit=CALLERS_SAMPLE)
    calls = store.query(
        f"select min(started_at), max(started_at) from operations where rowid in ({newest})", parameters
    )
    if not calls or calls[0][0] is None:
        return []
    # a parent starts before its calls, seldom by more than an hour
    parameters |= {"first": calls[0][0] - HOUR_US, "last": calls[0][1] + 1}
    rows = store.query(
        "with calls as (select trace_id, parent_span_id, count(*) as n from operations "
        f"where rowid in ({newest}) group by trace_id, parent_span_id) "
        "select parent.kind, parent.name, sum(calls.n)::BIGINT, count(*) from calls join operations as parent "
        "on parent.span_id = calls.parent_span_id and parent.trace_id is not distinct from calls.trace_id "
        "where parent.started_at >= $first and parent.started_at < $last group by parent.kind, parent.name "
        f"order by 3 desc, parent.name limit {int(limit)}",
        parameters,
    )
    return [Caller(*row) for row in rows]


def _where(scope: Scope, name: str | None = None) -> tuple[str, dict[str, Any]]:
    """` and …` for filters and the statement, with the parameters of the whole window."""
    parameters: dict[str, Any] = {"low": scope.window.start_us, "high": scope.window.end_us}
    where = conditions(scope.filters, parameters)
    if name is not None:
        parameters["name"] = name
        where += " and name = $name"
    return where, parameters
